//! The program that an interface runs on each frame that arrives: what is ours goes to the socket of its queue, all
//! else on to the kernel. Assembled here, instruction by instruction; knows no system call.
//!
//! Ours is plain UDP, as [`headers`](crate::driver::headers) reads it, to the one address that the program was made for, and
//! to the port that the queue's entry in a table says. What comes by the queue of another reactor, is longer than a
//! buffer, tagged, or in fragments, the kernel hands to the reactor's own socket.
//!
//! Sources: RFC 9669 (the instruction set), linux v6.6 `bpf_redirect_map`.

use std::net::IpAddr;

/// One instruction, as the kernel reads it.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Instruction {
    code: u8,
    /// Destination in the lower half, source in the upper.
    registers: u8,
    offset: i16,
    immediate: i32,
}

/// What keeps its value over calls, and what does not.
const RESULT: u8 = 0;
const ARGUMENT: [u8; 3] = [1, 2, 3];
const CONTEXT: u8 = 6;
const START: u8 = 7;
const END: u8 = 8;
const STACK: u8 = 10;

/// Where the context has them: `struct xdp_md`.
const DATA: i16 = 0;
const DATA_END: i16 = 4;
const QUEUE: i16 = 16;

const LOAD_BYTE: u8 = 0x71;
const LOAD_HALF: u8 = 0x69;
const LOAD_WORD: u8 = 0x61;
const STORE_WORD: u8 = 0x63;
const COPY: u8 = 0xbf;
const COPY_VALUE: u8 = 0xb7;
const ADD_VALUE: u8 = 0x07;
const AND_VALUE: u8 = 0x57;
const TABLE: u8 = 0x18;
const CALL: u8 = 0x85;
const EXIT: u8 = 0x95;
const JUMP: u8 = 0x05;
const IF_ABOVE: u8 = 0x2d;
const IF_AT_MOST: u8 = 0xbd;
const IF_NOT: u8 = 0x55;
const IF_NOT_REGISTER: u8 = 0x5d;
/// Compares the lower 32 bits.
const IF_NOT_WORD: u8 = 0x56;

/// Says that an address is that of a table, by its descriptor.
const BY_DESCRIPTOR: u8 = 1;

const LOOK_UP: i32 = 1;
const REDIRECT: i32 = 51;
const PASS: i32 = 2;

/// A jump to where frames are passed on: told apart from all others until that place is known.
const TO_PASS: i16 = i16::MAX;

/// The tables of a program, by their descriptors.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tables {
    /// Port by queue, in the order of the network, in the lower 16 bits; 0: none.
    pub ports: i32,
    /// Socket by queue.
    pub sockets: i32,
}

/// The program for frames of at most `frame_bytes` to `ip`.
pub(super) fn assemble(ip: IpAddr, frame_bytes: usize, tables: Tables) -> Vec<Instruction> {
    let [first, second, third] = ARGUMENT;
    let mut program = Vec::new();
    let mut put = |code, to, from, offset, immediate| {
        let registers = to | from << 4;
        program.push(Instruction { code, registers, offset, immediate });
    };
    let frame_bytes = i32::try_from(frame_bytes).expect("a frame is under 64 KiB");
    put(COPY, CONTEXT, first, 0, 0);
    put(LOAD_WORD, START, CONTEXT, DATA, 0);
    put(LOAD_WORD, END, CONTEXT, DATA_END, 0);
    put(COPY, second, START, 0, 0);
    put(ADD_VALUE, second, 0, 0, frame_bytes + 1);
    put(IF_AT_MOST, second, END, TO_PASS, 0);
    put(COPY, second, START, 0, 0);
    put(ADD_VALUE, second, 0, 0, crate::driver::headers::bytes(ip.is_ipv4()) as i32);
    put(IF_ABOVE, second, END, TO_PASS, 0);

    // Loads leave bytes as they lie in memory, so do these.
    let half = |bytes: [u8; 2]| i32::from(u16::from_ne_bytes(bytes));
    let mut expect = |load, at, mask: Option<i32>, is: i32| {
        put(load, third, START, at, 0);
        if let Some(mask) = mask {
            put(AND_VALUE, third, 0, 0, mask);
        }
        put(if load == LOAD_WORD { IF_NOT_WORD } else { IF_NOT }, third, 0, TO_PASS, is);
    };
    const UDP: i32 = 17;
    let port_at = match ip {
        IpAddr::V4(ip) => {
            expect(LOAD_HALF, 12, None, half([8, 0]));
            expect(LOAD_BYTE, 14, None, 0x45);
            // More fragments, or not the first.
            expect(LOAD_HALF, 20, Some(half([0x3f, 0xff])), 0);
            expect(LOAD_BYTE, 23, None, UDP);
            expect(LOAD_WORD, 30, None, i32::from_ne_bytes(ip.octets()));
            36
        }
        IpAddr::V6(ip) => {
            expect(LOAD_HALF, 12, None, half([0x86, 0xdd]));
            expect(LOAD_BYTE, 20, None, UDP);
            for (at, word) in (38..).step_by(4).zip(ip.octets().chunks_exact(4)) {
                expect(
                    LOAD_WORD,
                    at,
                    None,
                    i32::from_ne_bytes([word[0], word[1], word[2], word[3]]),
                );
            }
            56
        }
    };
    put(LOAD_WORD, second, CONTEXT, QUEUE, 0);
    put(STORE_WORD, STACK, second, -4, 0);
    put(COPY, second, STACK, 0, 0);
    put(ADD_VALUE, second, 0, 0, -4);
    put(TABLE, first, BY_DESCRIPTOR, 0, tables.ports);
    put(0, 0, 0, 0, 0);
    put(CALL, 0, 0, 0, LOOK_UP);
    put(IF_NOT, RESULT, 0, 1, 0);
    put(JUMP, 0, 0, TO_PASS, 0);
    put(LOAD_WORD, second, RESULT, 0, 0);
    put(LOAD_HALF, third, START, port_at, 0);
    put(IF_NOT_REGISTER, second, third, TO_PASS, 0);
    put(TABLE, first, BY_DESCRIPTOR, 0, tables.sockets);
    put(0, 0, 0, 0, 0);
    put(LOAD_WORD, second, CONTEXT, QUEUE, 0);
    // Where there is no socket, the frame goes on.
    put(COPY_VALUE, third, 0, 0, PASS);
    put(CALL, 0, 0, 0, REDIRECT);
    put(EXIT, 0, 0, 0, 0);
    let passes = program.len();
    program.push(Instruction { code: COPY_VALUE, registers: RESULT, offset: 0, immediate: PASS });
    program.push(Instruction { code: EXIT, registers: 0, offset: 0, immediate: 0 });
    for (at, instruction) in program.iter_mut().enumerate() {
        if instruction.offset == TO_PASS {
            // Counted from the one behind.
            instruction.offset = (passes - at - 1) as i16;
        }
    }
    program
}
