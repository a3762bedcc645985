#!/usr/bin/env python3
"""Steps per second of PyTorch on the paper's recipe, for comparison with `rhoset train` (needs torch, from pip).

usage: benches/pytorch_train.py [--order 120] [--seeds 1] [--steps 100] [--threads N] [--compile]

With several seeds, one process a seed shares the cores, which is PyTorch's fastest way on a CPU. Speed does not depend
on which group is learned, so a cyclic table of the same order stands in. Prints network-steps per second over all seeds.
"""
import argparse, multiprocessing, os, time

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument('--order', type=int, default=120)
parser.add_argument('--seeds', type=int, default=1)
parser.add_argument('--steps', type=int, default=100)
parser.add_argument('--threads', type=int, default=os.cpu_count())
parser.add_argument('--compile', action='store_true')
arguments = parser.parse_args()


def train(seed, ready, answer):
    import torch
    torch.set_num_threads(max(1, arguments.threads // arguments.seeds))
    torch.manual_seed(seed)
    n, d, m = arguments.order, 128, 128
    uniform = lambda rows, columns, bound: (2 * torch.rand(rows, columns) - 1) * bound
    weights = [torch.randn(n, d), torch.randn(n, d), uniform(d, m, (2 * d) ** -.5), uniform(d, m, (2 * d) ** -.5), uniform(m, n, m ** -.5)]
    bias = torch.zeros(n)
    for w in weights + [bias]: w.requires_grad_()
    optimiser = torch.optim.Adam([{'params': weights, 'weight_decay': 2e-4}, {'params': [bias], 'weight_decay': 0.}], lr=1e-2, betas=(.9, .98))
    pairs = torch.randperm(n * n)[: int(.4 * n * n)].sort().values
    x, y = pairs // n, pairs % n
    target = (x + y) % n

    def loss_of():
        left, right, linear_left, linear_right, unembed = weights
        hidden = torch.relu((left @ linear_left)[x] + (right @ linear_right)[y])
        return torch.nn.functional.cross_entropy(hidden @ unembed + bias, target)

    if arguments.compile: loss_of = torch.compile(loss_of)

    def step():
        optimiser.zero_grad(); loss = loss_of(); loss.backward(); optimiser.step()

    for _ in range(10): step()
    ready.wait()
    start = time.time()
    for _ in range(arguments.steps): step()
    answer.put((start, time.time()))


if __name__ == '__main__':
    multiprocessing.set_start_method('spawn')
    ready, answer = multiprocessing.Barrier(arguments.seeds), multiprocessing.Queue()
    processes = [multiprocessing.Process(target=train, args=(seed, ready, answer)) for seed in range(arguments.seeds)]
    for process in processes: process.start()
    times = [answer.get() for _ in processes]
    for process in processes: process.join()
    seconds = max(end for _, end in times) - min(start for start, _ in times)
    print(f'{arguments.seeds * arguments.steps / seconds:.1f} network-steps per second (order {arguments.order}, {arguments.seeds} seeds)')
