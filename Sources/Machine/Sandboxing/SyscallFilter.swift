import CLinux
import Glibc

/// A seccomp program that refuses system calls sandboxed code never needs (mounts, namespaces, modules,
/// tracing...) with EPERM, as a second wall behind namespaces and dropped capabilities.
public enum SyscallFilter {
  /// One instruction of the kernel's packet filter.
  struct Instruction {
    var code: UInt16
    var whenTrue: UInt8 = 0
    var whenFalse: UInt8 = 0
    var value: UInt32

    /// Loads a word of `struct seccomp_data`.
    static func load(_ offset: UInt32) -> Self { Self(code: 0x20, value: offset) }
    /// Skips instructions by comparison with the loaded word.
    static func ifEqual(_ value: UInt32, skip whenTrue: UInt8, else whenFalse: UInt8) -> Self {
      Self(code: 0x15, whenTrue: whenTrue, whenFalse: whenFalse, value: value)
    }
    static func ifAtLeast(_ value: UInt32, skip whenTrue: UInt8, else whenFalse: UInt8) -> Self {
      Self(code: 0x35, whenTrue: whenTrue, whenFalse: whenFalse, value: value)
    }
    static func ifAnyBit(_ bits: UInt32, skip whenTrue: UInt8, else whenFalse: UInt8) -> Self {
      Self(code: 0x45, whenTrue: whenTrue, whenFalse: whenFalse, value: bits)
    }
    static func and(_ bits: UInt32) -> Self { Self(code: 0x54, value: bits) }
    static func answer(_ value: UInt32) -> Self { Self(code: 0x06, value: value) }
    static let allow = answer(0x7fff_0000)
    static func refuse(_ code: Int32) -> Self { answer(0x0005_0000 | UInt32(code)) }
  }

  /// Names of the refused calls.
  public static var refusedNames: [String] {
    denied().map { String(cString: $0.name) }.sorted()
  }

  private static func denied() -> [roost_syscall] {
    var list: UnsafePointer<roost_syscall>?
    let count = roost_denied_syscalls(&list)
    return Array(UnsafeBufferPointer(start: list, count: count))
  }

  /// - Parameter listensOnly: connections can be accepted and none can be made, and nothing is sent but on connections.
  static func instructions(listensOnly: Bool = false) -> [Instruction] {
    let numberOffset: UInt32 = 0
    let architectureOffset: UInt32 = 4
    let firstArgumentOffset: UInt32 = 16
    let newUserNamespace: UInt32 = 0x1000_0000
    // A call of another architecture (32 bit, x32) has other numbers: refuse them all.
    var program: [Instruction] = [
      .load(architectureOffset), .ifEqual(roost_audit_architecture(), skip: 1, else: 0), .refuse(EPERM),
      .load(numberOffset), .ifAtLeast(0x4000_0000, skip: 0, else: 1), .refuse(EPERM),
    ]
    for call in denied() { program += [.ifEqual(call.number, skip: 0, else: 1), .refuse(EPERM)] }
    if listensOnly { program += withoutConnections }
    // clone3 has its flags in memory, which can't be looked at: "not there" makes libc use clone, which is
    // checked.
    program += [.ifEqual(roost_clone3_number(), skip: 0, else: 1), .refuse(ENOSYS)]
    program += [
      .ifEqual(roost_clone_number(), skip: 0, else: 3), .load(firstArgumentOffset),
      .ifAnyBit(newUserNamespace, skip: 0, else: 1), .refuse(EPERM), .allow,
    ]
    return program
  }

  private enum Number {
    #if arch(x86_64)
      static let (socket, connect, sendto, sendmsg, sendmmsg): (UInt32, UInt32, UInt32, UInt32, UInt32) = (
        41, 42, 44, 46, 307
      )
    #else
      static let (socket, connect, sendto, sendmsg, sendmmsg): (UInt32, UInt32, UInt32, UInt32, UInt32) = (
        198, 203, 206, 211, 269
      )
    #endif
  }

  /// Sockets that could send without a connection, and the calls that make one (TCP Fast Open makes one by sending). Each part ends
  /// with the number of the call loaded again.
  private static var withoutConnections: [Instruction] {
    let argument = { (number: UInt32) in Instruction.load(16 + 8 * number) }
    let number = Instruction.load(0)
    let fastOpen: UInt32 = 0x2000_0000
    return [
      .ifEqual(Number.connect, skip: 0, else: 1), .refuse(EPERM),
      .ifEqual(Number.sendmmsg, skip: 0, else: 1), .refuse(EPERM),
      // An address to send to: both halves of the pointer are looked at.
      .ifEqual(Number.sendto, skip: 0, else: 6), argument(4), .ifEqual(0, skip: 0, else: 2),
      .load(16 + 8 * 4 + 4), .ifEqual(0, skip: 1, else: 0), .refuse(EPERM), number,
      .ifEqual(Number.sendmsg, skip: 0, else: 4), argument(2), .ifAnyBit(fastOpen, skip: 0, else: 1),
      .refuse(EPERM), number,
      // Of the Internet only streams; the type's upper bits are flags.
      .ifEqual(Number.socket, skip: 0, else: 8), argument(0), .ifEqual(UInt32(AF_INET), skip: 1, else: 0),
      .ifEqual(UInt32(AF_INET6), skip: 0, else: 4), argument(1), .and(0xf), .ifEqual(1, skip: 1, else: 0),
      .refuse(EPERM), number,
    ]
  }

  /// A file in memory with the program, for `bwrap --seccomp`.
  public static func makeFile(listensOnly: Bool = false) throws(SystemFailure) -> FileHandle {
    let number = roost_memfd("syscall-filter")
    guard number >= 0 else { throw SystemFailure("make a file in memory") }
    let file = FileHandle(owning: number)
    var bytes: [UInt8] = []
    for instruction in instructions(listensOnly: listensOnly) {
      withUnsafeBytes(of: instruction.code) { bytes += $0 }
      bytes += [instruction.whenTrue, instruction.whenFalse]
      withUnsafeBytes(of: instruction.value) { bytes += $0 }
    }
    try Files.writeAll(bytes, to: number, name: "the syscall filter")
    lseek(number, 0, SEEK_SET)
    return file
  }
}
