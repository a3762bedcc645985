#!/usr/bin/env python3
"""Makes the files of this folder: small networks in every layout, as PyTorch writes them, and hostile files.

    python3 make.py        (needs torch; writes beside itself)

logits.json holds what PyTorch computes from each file in float64: {file: one [n, n, n] list per network}.
"""
import collections, io, json, os, pathlib, pickle, struct, zipfile
import torch
from torch import nn

here = pathlib.Path(__file__).resolve().parent
hostile = here / "hostile"
hostile.mkdir(exist_ok=True)
torch.manual_seed(7)
n, d, m, k = 4, 3, 5, 2
expected = {}


def logits(left, right, unembed, bias=None, act=torch.relu):
    left, right, unembed = (t.detach().double() for t in (left, right, unembed))
    hidden = act(left[:, None, :] + right[None, :, :])
    return hidden @ unembed + (0 if bias is None else bias.detach().double())


def save(name, state, values, **options):
    torch.save(state, here / name, **options)
    expected[name] = [v.tolist() for v in values]


def dbl(*ts):
    out = ts[0].detach().double()
    for t in ts[1:]:
        out = out @ t.detach().double()
    return out


r = torch.randn

# Chughtai's names: plain dict, ordered dict, legacy format, other protocols and dtypes
wx, wy, w, wu = r(n, d), r(n, d), r(2 * d, m), r(m, n)
state = dict(W_x=wx, W_y=wy, W=w, W_U=wu)
value = [logits(dbl(wx, w[:d]), dbl(wy, w[d:]), wu)]
save("chughtai.pt", state, value)
save("chughtai-legacy.pt", state, value, _use_new_zipfile_serialization=False)
save("chughtai-protocol-4.pt", collections.OrderedDict(state), value, pickle_protocol=4)
save("chughtai-parameters.pt", {key: nn.Parameter(t) for key, t in state.items()}, value)
for name, dtype in [("f16", torch.float16), ("bf16", torch.bfloat16), ("f64", torch.float64)]:
    low = {key: t.to(dtype) for key, t in state.items()}
    if dtype == torch.float64:
        low = {key: t.double() + 1e-9 * torch.randn_like(t.double()) for key, t in state.items()}
    x, y, l, u = (low[key].float() for key in ("W_x", "W_y", "W", "W_U"))
    save(f"chughtai-{name}.pt", low, [logits(dbl(x, l[:d]), dbl(y, l[d:]), u)])
    save(f"chughtai-{name}-legacy.pt", low, [logits(dbl(x, l[:d]), dbl(y, l[d:]), u)],
         _use_new_zipfile_serialization=False)

# Views: transposed, sliced with an offset, every second column, one storage for all
pool = r(200)
wx2 = pool[5:5 + n * d].view(n, d)
wy2 = pool[30:30 + n * d].view(d, n).t()
w2 = pool[50:50 + 4 * d * m].view(2 * d, 2 * m)[:, ::2]
wu2 = r(n, m).t()
value = [logits(dbl(wx2, w2[:d]), dbl(wy2, w2[d:]), wu2)]
save("views.pt", dict(W_x=wx2, W_y=wy2, W=w2, W_U=wu2), value)
save("views-legacy.pt", dict(W_x=wx2, W_y=wy2, W=w2, W_U=wu2), value, _use_new_zipfile_serialization=False)

# Wu et al.'s: a leading instance axis
el, er, ll, lr, un, ub = r(k, n, d), r(k, n, d), r(k, d, m), r(k, d, m), r(k, m, n), r(k, n)
save("wu-two-linear.pt",
     dict(embedding_left=el, embedding_right=er, linear_left=ll, linear_right=lr, unembedding=un, unembed_bias=ub),
     [logits(dbl(el[i], ll[i]), dbl(er[i], lr[i]), un[i], ub[i]) for i in range(k)])
save("wu-shared-linear.pt", dict(embedding_left=el, embedding_right=er, linear=ll, unembedding=un),
     [logits(dbl(el[i], ll[i]), dbl(er[i], ll[i]), un[i]) for i in range(k)])
dl, dr = r(k, n, m), r(k, n, m)
save("wu-direct.pt", dict(embedding_left=dl, embedding_right=dr, unembedding=un, unembed_bias=ub),
     [logits(dl[i], dr[i], un[i], ub[i]) for i in range(k)])


# nn.Modules, with hidden biases, as checkpoints and inside wrappers
class Concat(nn.Module):
    def __init__(self):
        super().__init__()
        self.lembed, self.rembed = nn.Embedding(n, d), nn.Embedding(n, d)
        self.linear, self.unembed = nn.Linear(2 * d, m), nn.Linear(m, n)

    def value(self):
        w = self.linear.weight.t()
        left = dbl(self.lembed.weight, w[:d]) + self.linear.bias.detach().double()
        return [logits(left, dbl(self.rembed.weight, w[d:]), self.unembed.weight.t(), self.unembed.bias)]


class TwoLinear(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding_left, self.embedding_right = nn.Embedding(n, d), nn.Embedding(n, d)
        self.linear_left, self.linear_right = nn.Linear(d, m), nn.Linear(d, m, bias=False)
        self.unembedding = nn.Linear(m, n, bias=False)

    def value(self):
        left = dbl(self.embedding_left.weight, self.linear_left.weight.t()) + self.linear_left.bias.detach().double()
        return [logits(left, dbl(self.embedding_right.weight, self.linear_right.weight.t()),
                       self.unembedding.weight.t())]


class Shared(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding_left, self.embedding_right = nn.Embedding(n, d), nn.Embedding(n, d)
        self.linear, self.unembedding = nn.Linear(d, m), nn.Linear(m, n)

    def value(self):
        w = self.linear.weight.t()
        left = dbl(self.embedding_left.weight, w) + self.linear.bias.detach().double()
        return [logits(left, dbl(self.embedding_right.weight, w), self.unembedding.weight.t(), self.unembedding.bias)]


concat, two, shared = Concat(), TwoLinear(), Shared()
save("module-concat.pt", concat.state_dict(), concat.value())
save("module-two-linear.pt", two.state_dict(), two.value())
save("module-shared-linear.pt", shared.state_dict(), shared.value())
save("module-data-parallel.pt", nn.DataParallel(concat).state_dict(), concat.value())
adam = torch.optim.Adam(concat.parameters())
sum(p.sum() for p in concat.parameters()).backward()
adam.step()
save("checkpoint.pt", dict(epoch=3, optimizer=adam.state_dict(), model=concat.state_dict(), loss=0.5), concat.value())

# As a big-endian machine would write it
with zipfile.ZipFile(here / "chughtai.pt") as source, zipfile.ZipFile(here / "big-endian.pt", "w") as target:
    for entry in source.namelist():
        data = source.read(entry)
        if entry.endswith("byteorder"):
            data = b"big"
        if "/data/" in entry:
            data = b"".join(data[i:i + 4][::-1] for i in range(0, len(data), 4))
        target.writestr(entry, data)
expected["big-endian.pt"] = expected["chughtai.pt"]


# Native files with every activation
def safetensors(path, tensors, metadata=None):
    header, data = {}, b""
    if metadata:
        header["__metadata__"] = metadata
    for name, t in tensors.items():
        raw = t.contiguous().numpy().tobytes()
        header[name] = dict(dtype={torch.float32: "F32", torch.int64: "I64"}[t.dtype], shape=list(t.shape),
                            data_offsets=[len(data), len(data) + len(raw)])
        data += raw
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


for name, act in dict(relu=torch.relu, square=torch.square, abs=torch.abs, gelu=torch.nn.functional.gelu,
                      linear=lambda t: t).items():
    tensors = dict(left=dl[0], right=dr[0], unembed=un[0], bias=ub[0])
    safetensors(here / f"{name}.safetensors", tensors, dict(activation=name, architecture="direct"))
    expected[f"{name}.safetensors"] = [logits(dl[0], dr[0], un[0], ub[0], act).tolist()]

(here / "logits.json").write_text(json.dumps(expected))

# ---------------------------------------------------------------------------------------------- hostile files
good = dict(left=dl[0], right=dr[0], unembed=un[0])


def torch_file(name, state, **options):
    torch.save(state, hostile / name, **options)


def zip_file(name, pickled, storages=(), compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(hostile / name, "w", compression) as z:
        z.writestr("archive/data.pkl", pickled)
        z.writestr("archive/version", "3\n")
        for i, data in enumerate(storages):
            z.writestr(f"archive/data/{i}", data)


(hostile / "empty.pt").write_bytes(b"")
(hostile / "one-byte.safetensors").write_bytes(b"\x08")
(hostile / "not-a-zip.pt").write_bytes(b"hello" * 30)
(hostile / "only-zip-magic.pt").write_bytes(b"PK\x03\x04")
whole = (here / "chughtai.pt").read_bytes()
(hostile / "truncated.pt").write_bytes(whole[:len(whole) // 2])
legacy = (here / "chughtai-legacy.pt").read_bytes()
(hostile / "truncated-legacy.pt").write_bytes(legacy[:len(legacy) - 100])
(hostile / "truncated-legacy-pickle.pt").write_bytes(legacy[:200])
torch_file("unknown-layout.pt", dict(something=r(3)))
torch_file("no-tensors.pt", dict(epoch=3))
torch_file("list.pt", [r(3), r(3)])
torch_file("nan-weight.pt", {**good, "right": torch.where(torch.arange(m) == 2, torch.nan, dr[0])})
torch_file("infinite-weight.pt", {**good, "unembed": un[0] / torch.tensor([1, 1, 0, 1.0])})
torch_file("shape-mismatch.pt", {**good, "right": r(n + 1, m)})
torch_file("unembed-transposed.pt", {**good, "unembed": r(n, m)})
torch_file("instances-mismatch.pt", dict(left=dl, right=dr, unembed=un[:1]))
torch_file("axes.pt", {**good, "unembed": r(m * n)})
torch_file("no-elements.pt", dict(left=r(0, m), right=r(0, m), unembed=r(m, 0)))
torch_file("no-instances.pt", dict(left=r(0, n, m), right=r(0, n, m), unembed=r(0, m, n)))
torch_file("integers.pt", {**good, "left": torch.ones(n, m, dtype=torch.int64)})
torch_file("complex.pt", {**good, "left": torch.ones(n, m, dtype=torch.complex64)})
torch_file("expanded.pt", {**good, "left": r(1).expand(n, m)})
torch_file("two-names-for-one.pt", {**good, "embed_left": dl[0]})


class Evil:
    def __reduce__(self):
        return os.system, ("touch rhoset-pwned",)


zip_file("reduce-system.pt", pickle.dumps({"W_x": Evil()}, protocol=2))
zip_file("reduce-system-protocol-4.pt", pickle.dumps({"W_x": Evil()}, protocol=4))
(hostile / "reduce-system-legacy.pt").write_bytes(
    pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2) + pickle.dumps({}, 2) + pickle.dumps(Evil(), 2))
P = b"\x80\x02"
zip_file("deep-nesting.pt", P + b"]" * 100_000 + b"a" * 99_999 + b".", compression=zipfile.ZIP_STORED)
zip_file("memo-doubling.pt", P + b"]q\x00" + b"".join(b"(h" + bytes([i]) + b"h" + bytes([i]) + b"tq" + bytes([i + 1])
                                                      for i in range(60)) + b".")
zip_file("self-reference.pt", P + b"}q\x00X\x01\x00\x00\x00Wh\x00s.")
zip_file("declared-text.pt", P + b"X\xff\xff\xff\xffabc.")
zip_file("declared-text-64.pt", P + b"\x8d" + b"\xff" * 8 + b"abc.")
zip_file("unknown-opcode.pt", P + b"\xfe.")
zip_file("empty-stack.pt", P + b".")
zip_file("mark-games.pt", P + b"((((tttt0000s.")
zip_file("memo-miss.pt", P + b"h\x07.")
zip_file("no-stop.pt", P + b"}")
zip_file("bad-utf-8.pt", P + b"X\x02\x00\x00\x00\xff\xfe.")
zip_file("zip-bomb.pt", P + b"N" * 5_000_000 + b".", compression=zipfile.ZIP_DEFLATED)
with zipfile.ZipFile(hostile / "no-pickle.pt", "w") as z:
    z.writestr("readme.txt", "nothing here")


def tensor(offset=b"K\x00", size=b"K\x04K\x05\x86", stride=b"K\x05K\x01\x86", key=b"0", count=b"K\x14"):
    """The opcodes of one tensor."""
    text = lambda t: b"X" + struct.pack("<I", len(t)) + t
    storage = b"(" + text(b"storage") + b"ctorch\nFloatStorage\n" + text(key) + text(b"cpu") + count + b"tQ"
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + offset + size + stride + b"\x89}tR"


def three(**options):
    text = lambda t: b"X" + struct.pack("<I", len(t)) + t
    return (P + b"}(" + text(b"left") + tensor(**options) + text(b"right") + tensor() +
            text(b"unembed") + tensor(size=b"K\x05K\x04\x86", stride=b"K\x04K\x01\x86") + b"u.")


data = bytes(80)
big = lambda v: b"\x8a\x08" + struct.pack("<q", v)
zip_file("huge-shape.pt", three(size=big(2**40) + big(2**20) + b"\x86"), [data])
zip_file("huge-product.pt", three(size=big(2**62) + big(2**62) + b"\x86"), [data])
zip_file("huge-offset.pt", three(offset=big(2**63 - 1)), [data])
zip_file("negative-offset.pt", three(offset=big(-1)), [data])
zip_file("negative-stride.pt", three(stride=big(-5) + b"K\x01\x86"), [data])
zip_file("huge-stride.pt", three(stride=big(2**61) + b"K\x01\x86"), [data])
zip_file("missing-stride.pt", three(stride=b"K\x01\x85"), [data])
zip_file("missing-storage.pt", three(key=b"7"), [data])
zip_file("path-in-key.pt", three(key=b"../../../etc/passwd"), [data])
zip_file("short-storage.pt", three(), [data[:40]])

head = pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2) + pickle.dumps({"little_endian": True}, 2)
(hostile / "legacy-huge-count.pt").write_bytes(
    head + three() + pickle.dumps(["0"], 2) + struct.pack("<q", 2**61) + data)
(hostile / "legacy-negative-count.pt").write_bytes(head + three() + pickle.dumps(["0"], 2) + struct.pack("<q", -1) + data)
(hostile / "legacy-no-storages.pt").write_bytes(head + three() + pickle.dumps([], 2))

F = '"dtype": "F32"'


def header(name, text, data=b""):
    text = text.encode()
    (hostile / f"{name}.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data)


(hostile / "header-length.safetensors").write_bytes(b"\0" * 7 + b"\x80{}")
header("huge-shape", '{"left": {%s, "shape": [1099511627776, 1048576], "data_offsets": [0, 16]}}' % F, bytes(16))
header("overlap", '{"left": {%s, "shape": [4], "data_offsets": [0, 16]}, "right": {%s, "shape": [4], "data_offsets": [8, 24]}}'
       % (F, F), bytes(24))
header("beyond-end", '{"left": {%s, "shape": [4], "data_offsets": [0, 16]}}' % F, bytes(8))
header("trailing-bytes", '{"left": {%s, "shape": [4], "data_offsets": [0, 16]}}' % F, bytes(40))
header("offsets-backwards", '{"left": {%s, "shape": [4], "data_offsets": [16, 0]}}' % F, bytes(16))
header("bad-json", '{"left": ')
header("deep-json", '{"left": ' + "[" * 5000)
header("wrong-type", '{"left": {"dtype": "F99", "shape": [4], "data_offsets": [0, 16]}}', bytes(16))
header("sub-byte", '{"left": {"dtype": "F4", "shape": [4], "data_offsets": [0, 2]}}', bytes(2))
header("no-tensors", "{}")
header("control-characters", '{"\\u001b[2Jleft": {%s, "shape": [4], "data_offsets": [0, 16]}}' % F, bytes(16))
safetensors(hostile / "unknown-activation.safetensors", good, dict(activation="swish"))
table = (torch.arange(n)[:, None] + torch.arange(n)) % n
safetensors(hostile / "no-group.safetensors", {**good, "table": torch.where(table == 2, 0, table)})
safetensors(hostile / "table-beyond.safetensors", {**good, "table": table + 70_000})
safetensors(hostile / "table-shape.safetensors", {**good, "table": table[:, :3]})
safetensors(hostile / "table-of-others.safetensors", {**good, "table": torch.zeros(1, 1, dtype=torch.int64)})
safetensors(hostile / "spec-reads-a-file.safetensors", good, dict(rhoset="0", group="table:/etc/passwd"))
safetensors(hostile / "spec-of-others.safetensors", good, dict(rhoset="0", group="S5"))
