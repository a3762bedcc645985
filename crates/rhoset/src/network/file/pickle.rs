//! A restricted unpickler: a pickle is data, and nothing in it is executed.
//!
//! Pickle is a program for a stack machine (Python's `Lib/pickletools.py` documents it). This machine builds a tree of
//! plain nodes; where the program asks for a function to be called, it records the call, and only for the functions
//! that rebuild tensors ([`HARMLESS`]). Nodes live in one arena and refer to each other by index, so that shared,
//! deeply nested and cyclic structures all cost one node per opcode, and there is nothing to recurse into.

/// What can be wrong with a pickle.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PickleError {
    /// The program ends before its STOP.
    #[error("the pickle ends early, at byte {at}; the file is truncated or damaged")]
    Truncated {
        /// Where, in bytes from the pickle's start.
        at: usize,
    },
    /// An opcode that no weight file needs.
    #[error("the pickle has opcode {opcode:#04x} at byte {at}, which no weight file needs; the file is damaged")]
    Opcode {
        /// The opcode.
        opcode: u8,
        /// Where, in bytes from the pickle's start.
        at: usize,
    },
    /// The program asks for a class or function that does not rebuild tensors.
    #[error(
        "the pickle asks for {name}, which no weight file needs; nothing was executed. \
         Save the weights alone: torch.save(model.state_dict(), ...)"
    )]
    Forbidden {
        /// `module.name`.
        name: String,
    },
    /// The program takes from an empty stack, or from a memo slot never filled, or appends to what is no container.
    #[error("the pickle is malformed at byte {at}: {reason}")]
    Malformed {
        /// Where, in bytes from the pickle's start.
        at: usize,
        /// What it tried.
        reason: &'static str,
    },
}

/// The classes and functions that appear in files of tensors; everything else is refused. Storage types
/// (`torch.FloatStorage` ...) and dtypes are allowed besides.
const HARMLESS: &[&str] = &[
    "collections.OrderedDict",
    "collections.defaultdict",
    "builtins.dict",
    "torch.Size",
    "torch.Tensor",
    "torch.device",
    "torch.nn.parameter.Parameter",
    "torch._utils._rebuild_tensor",
    "torch._utils._rebuild_tensor_v2",
    "torch._utils._rebuild_parameter",
    "torch._utils._rebuild_parameter_with_state",
    "torch._tensor._rebuild_from_type_v2",
    "torch.serialization._get_layout",
];

fn is_harmless(name: &str) -> bool {
    let torch = name.strip_prefix("torch.");
    let storage = torch.map(|name| name.strip_prefix("storage.").unwrap_or(name));
    HARMLESS.contains(&name) || storage.is_some_and(|name| name.ends_with("Storage") && !name.contains('.'))
}

/// An index into the arena of a [`Pickle`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Id(u32);

/// One node of what a pickle describes.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    /// None, a float, a byte string: anything whose value is of no interest.
    Opaque,
    Bool(bool),
    Integer(i64),
    /// An integer wider than 64 bits: its bytes, little end first.
    Wide(Vec<u8>),
    Text(String),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    /// A class or function, `module.name`.
    Global(String),
    /// A reference to what is stored beside the pickle.
    Persistent(Id),
    /// A call that was recorded and not made.
    Call {
        function: Id,
        arguments: Id,
    },
}

/// What a pickle describes.
#[derive(Debug)]
pub(super) struct Pickle {
    nodes: Vec<Node>,
    root: Id,
}

impl Pickle {
    /// Reads one pickle from the start of `bytes`; also returns the number of bytes that it took.
    pub(super) fn read(bytes: &[u8]) -> Result<(Self, usize), PickleError> {
        let mut machine = Machine {
            bytes,
            at: 0,
            nodes: Vec::new(),
            stack: Vec::new(),
            marks: Vec::new(),
            memo: std::collections::HashMap::new(),
        };
        while !machine.step()? {}
        let root = machine.pop()?;
        let (nodes, length) = (machine.nodes, machine.at);
        Ok((Self { nodes, root }, length))
    }

    pub(super) fn root(&self) -> Id {
        self.root
    }

    pub(super) fn node(&self, id: Id) -> &Node {
        &self.nodes[id.0 as usize]
    }

    pub(super) fn text(&self, id: Id) -> Option<&str> {
        match self.node(id) {
            Node::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn size(&self, id: Id) -> Option<usize> {
        match self.node(id) {
            Node::Integer(value) => usize::try_from(*value).ok(),
            _ => None,
        }
    }

    pub(super) fn tuple(&self, id: Id) -> Option<&[Id]> {
        match self.node(id) {
            Node::Tuple(items) => Some(items),
            _ => None,
        }
    }

    pub(super) fn dict(&self, id: Id) -> Option<&[(Id, Id)]> {
        match self.node(id) {
            Node::Dict(entries) => Some(entries),
            _ => None,
        }
    }

    pub(super) fn global(&self, id: Id) -> Option<&str> {
        match self.node(id) {
            Node::Global(name) => Some(name),
            _ => None,
        }
    }

    /// The value of a text key of a dictionary; the last one, as in Python.
    pub(super) fn get(&self, dict: Id, key: &str) -> Option<Id> {
        let entries = self.dict(dict)?;
        entries
            .iter()
            .rev()
            .find(|&&(k, _)| self.text(k) == Some(key))
            .map(|&(_, v)| v)
    }
}

struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    nodes: Vec<Node>,
    stack: Vec<Id>,
    /// Heights of the stack at the open MARKs.
    marks: Vec<usize>,
    memo: std::collections::HashMap<u32, Id>,
}

impl<'a> Machine<'a> {
    /// Executes one opcode; true at STOP.
    fn step(&mut self) -> Result<bool, PickleError> {
        let start = self.at;
        match self.byte()? {
            b'.' => return Ok(true),
            // PROTO, FRAME: how the pickle is written, of no consequence.
            0x80 => drop(self.byte()?),
            0x95 => drop(self.take(8)?),
            // NONE, BINFLOAT
            b'N' => self.push(Node::Opaque),
            b'G' => {
                self.take(8)?;
                self.push(Node::Opaque);
            }
            0x88 => self.push(Node::Bool(true)),
            0x89 => self.push(Node::Bool(false)),
            // BININT1, BININT2, BININT, LONG1, LONG4
            b'K' => {
                let value = self.byte()?;
                self.push(Node::Integer(value.into()));
            }
            b'M' => {
                let value = u16::from_le_bytes(self.array()?);
                self.push(Node::Integer(value.into()));
            }
            b'J' => {
                let value = i32::from_le_bytes(self.array()?);
                self.push(Node::Integer(value.into()));
            }
            0x8a => {
                let length = self.byte()?.into();
                self.integer(length)?;
            }
            0x8b => {
                let length = self.length(4)?;
                self.integer(length)?;
            }
            // SHORT_BINUNICODE, BINUNICODE, BINUNICODE8, SHORT_BINSTRING, BINSTRING
            0x8c | b'U' => {
                let length = self.byte()?.into();
                self.string(length)?;
            }
            b'X' | b'T' => {
                let length = self.length(4)?;
                self.string(length)?;
            }
            0x8d => {
                let length = self.length(8)?;
                self.string(length)?;
            }
            // SHORT_BINBYTES, BINBYTES, BINBYTES8
            b'C' => {
                let length = self.byte()?.into();
                self.take(length)?;
                self.push(Node::Opaque);
            }
            b'B' => {
                let length = self.length(4)?;
                self.take(length)?;
                self.push(Node::Opaque);
            }
            0x8e => {
                let length = self.length(8)?;
                self.take(length)?;
                self.push(Node::Opaque);
            }
            // Containers
            b')' => self.push(Node::Tuple(Vec::new())),
            b']' | 0x8f => self.push(Node::List(Vec::new())),
            b'}' => self.push(Node::Dict(Vec::new())),
            b'(' => self.marks.push(self.stack.len()),
            b't' => {
                let items = self.pop_to_mark()?;
                self.push(Node::Tuple(items));
            }
            b'l' => {
                let items = self.pop_to_mark()?;
                self.push(Node::List(items));
            }
            b'd' => {
                let items = self.pop_to_mark()?;
                let entries = self.entries(&items)?;
                self.push(Node::Dict(entries));
            }
            count @ 0x85..=0x87 => {
                let mut items = Vec::with_capacity(3);
                for _ in 0x85..=count {
                    items.push(self.pop()?);
                }
                items.reverse();
                self.push(Node::Tuple(items));
            }
            // APPEND, APPENDS, ADDITEMS, SETITEM, SETITEMS
            b'a' => {
                let item = self.pop()?;
                self.extend(vec![item])?;
            }
            b'e' | 0x90 => {
                let items = self.pop_to_mark()?;
                self.extend(items)?;
            }
            b's' => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.set(vec![(key, value)])?;
            }
            b'u' => {
                let items = self.pop_to_mark()?;
                let entries = self.entries(&items)?;
                self.set(entries)?;
            }
            // POP, POP_MARK, DUP
            b'0' => drop(self.pop()?),
            b'1' => drop(self.pop_to_mark()?),
            b'2' => {
                let top = self.top()?;
                self.stack.push(top);
            }
            // Memo: BINPUT, LONG_BINPUT, MEMOIZE, BINGET, LONG_BINGET
            b'q' => {
                let slot = self.byte()?.into();
                let top = self.top()?;
                self.memo.insert(slot, top);
            }
            b'r' => {
                let slot = u32::from_le_bytes(self.array()?);
                let top = self.top()?;
                self.memo.insert(slot, top);
            }
            0x94 => {
                let slot = self.memo.len() as u32;
                let top = self.top()?;
                self.memo.insert(slot, top);
            }
            b'h' => {
                let slot = self.byte()?.into();
                self.recall(slot)?;
            }
            b'j' => {
                let slot = u32::from_le_bytes(self.array()?);
                self.recall(slot)?;
            }
            // GLOBAL, STACK_GLOBAL
            b'c' => {
                let module = self.line()?;
                let name = self.line()?;
                self.global(&module, &name)?;
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                match (self.node(module), self.node(name)) {
                    (Node::Text(module), Node::Text(name)) => {
                        let (module, name) = (module.clone(), name.clone());
                        self.global(&module, &name)?;
                    }
                    _ => return Err(self.malformed("a class without a name")),
                }
            }
            // REDUCE, NEWOBJ: recorded, not called.
            b'R' | 0x81 => {
                let arguments = self.pop()?;
                let function = self.pop()?;
                self.call(function, arguments);
            }
            // BUILD: attributes of an object, such as the `_metadata` of a state dict; of no interest.
            b'b' => {
                self.pop()?;
                self.top()?;
            }
            b'Q' => {
                let id = self.pop()?;
                self.push(Node::Persistent(id));
            }
            opcode => return Err(PickleError::Opcode { opcode, at: start }),
        }
        Ok(false)
    }

    fn malformed(&self, reason: &'static str) -> PickleError {
        PickleError::Malformed { at: self.at, reason }
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], PickleError> {
        // Sound against hostile lengths: nothing is allocated, the slice is of bytes that are there.
        let end = self.at.checked_add(length).filter(|&end| end <= self.bytes.len());
        let end = end.ok_or(PickleError::Truncated { at: self.bytes.len() })?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, PickleError> {
        Ok(self.take(1)?[0])
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], PickleError> {
        Ok(self.take(N)?.try_into().expect("as many bytes as taken"))
    }

    /// An unsigned length of `width` bytes.
    fn length(&mut self, width: usize) -> Result<usize, PickleError> {
        let bytes = self.take(width)?;
        let length = bytes
            .iter()
            .rev()
            .fold(0, |length, &byte| length << 8 | u64::from(byte));
        usize::try_from(length).map_err(|_| self.malformed("a length beyond all files"))
    }

    fn line(&mut self) -> Result<String, PickleError> {
        let rest = &self.bytes[self.at..];
        let length = rest.iter().position(|&byte| byte == b'\n');
        let length = length.ok_or(PickleError::Truncated { at: self.bytes.len() })?;
        self.at += length + 1;
        Ok(String::from_utf8_lossy(&rest[..length]).into_owned())
    }

    fn string(&mut self, length: usize) -> Result<(), PickleError> {
        let bytes = self.take(length)?;
        let text = std::str::from_utf8(bytes).map_err(|_| self.malformed("text that is not UTF-8"))?;
        self.push(Node::Text(text.to_owned()));
        Ok(())
    }

    /// A two's-complement integer of `length` bytes, little end first.
    fn integer(&mut self, length: usize) -> Result<(), PickleError> {
        let bytes = self.take(length)?;
        if length > 8 {
            self.push(Node::Wide(bytes.to_vec()));
            return Ok(());
        }
        let negative = bytes.last().is_some_and(|&byte| byte >= 0x80);
        let mut wide = [if negative { 0xff } else { 0 }; 8];
        wide[..length].copy_from_slice(bytes);
        self.push(Node::Integer(i64::from_le_bytes(wide)));
        Ok(())
    }

    fn node(&self, id: Id) -> &Node {
        &self.nodes[id.0 as usize]
    }

    fn push(&mut self, node: Node) {
        self.stack.push(Id(self.nodes.len() as u32));
        self.nodes.push(node);
    }

    /// The height below which the innermost open MARK keeps the stack.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn pop(&mut self) -> Result<Id, PickleError> {
        if self.stack.len() <= self.floor() {
            return Err(self.malformed("it takes from an empty stack"));
        }
        Ok(self.stack.pop().expect("higher than its floor"))
    }

    fn top(&self) -> Result<Id, PickleError> {
        if self.stack.len() <= self.floor() {
            return Err(self.malformed("it looks at an empty stack"));
        }
        Ok(*self.stack.last().expect("higher than its floor"))
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Id>, PickleError> {
        let mark = self
            .marks
            .pop()
            .ok_or_else(|| self.malformed("no mark to go back to"))?;
        Ok(self.stack.split_off(mark))
    }

    fn entries(&self, items: &[Id]) -> Result<Vec<(Id, Id)>, PickleError> {
        let (pairs, []) = items.as_chunks::<2>() else {
            return Err(self.malformed("a key without a value"));
        };
        Ok(pairs.iter().map(|&[key, value]| (key, value)).collect())
    }

    fn extend(&mut self, items: Vec<Id>) -> Result<(), PickleError> {
        let top = self.top()?;
        match &mut self.nodes[top.0 as usize] {
            Node::List(list) => list.extend(items),
            // An object that is filled like a list: recorded, of no interest.
            Node::Call { .. } => {}
            _ => return Err(self.malformed("it appends to what is no list")),
        }
        Ok(())
    }

    fn set(&mut self, new: Vec<(Id, Id)>) -> Result<(), PickleError> {
        let top = self.top()?;
        match &mut self.nodes[top.0 as usize] {
            Node::Dict(entries) => entries.extend(new),
            Node::Call { .. } => {}
            _ => return Err(self.malformed("it sets an entry of what is no dictionary")),
        }
        Ok(())
    }

    fn recall(&mut self, slot: u32) -> Result<(), PickleError> {
        let id = *self
            .memo
            .get(&slot)
            .ok_or_else(|| self.malformed("it recalls what was never stored"))?;
        self.stack.push(id);
        Ok(())
    }

    fn global(&mut self, module: &str, name: &str) -> Result<(), PickleError> {
        let name = format!("{module}.{name}");
        if !is_harmless(&name) {
            return Err(PickleError::Forbidden { name });
        }
        self.push(Node::Global(name));
        Ok(())
    }

    /// Records a call. An empty dictionary is the one thing that is made: it is filled by later opcodes.
    fn call(&mut self, function: Id, arguments: Id) {
        let dictionary = matches!(
            self.node(function),
            Node::Global(name) if name.ends_with("Dict") || name.ends_with("dict")
        );
        self.push(if dictionary {
            Node::Dict(Vec::new())
        } else {
            Node::Call { function, arguments }
        });
    }
}
