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

  static func instructions() -> [Instruction] {
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
    // clone3 has its flags in memory, which can't be looked at: "not there" makes libc use clone, which is
    // checked.
    program += [.ifEqual(roost_clone3_number(), skip: 0, else: 1), .refuse(ENOSYS)]
    program += [
      .ifEqual(roost_clone_number(), skip: 0, else: 3), .load(firstArgumentOffset),
      .ifAnyBit(newUserNamespace, skip: 0, else: 1), .refuse(EPERM), .allow,
    ]
    return program
  }

  /// A file in memory with the program, for `bwrap --seccomp`.
  public static func makeFile() throws(SystemFailure) -> FileHandle {
    let number = roost_memfd("syscall-filter")
    guard number >= 0 else { throw SystemFailure("make a file in memory") }
    let file = FileHandle(owning: number)
    var bytes: [UInt8] = []
    for instruction in instructions() {
      withUnsafeBytes(of: instruction.code) { bytes += $0 }
      bytes += [instruction.whenTrue, instruction.whenFalse]
      withUnsafeBytes(of: instruction.value) { bytes += $0 }
    }
    try Files.writeAll(bytes, to: number, name: "the syscall filter")
    lseek(number, 0, SEEK_SET)
    return file
  }
}
