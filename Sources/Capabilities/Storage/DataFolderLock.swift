public import Domain
import Glibc
import Synchronization

/// The right to use a data folder: one process at a time. Ends with the process, however it dies.
///
/// A process may share it with another one that it starts (`descriptor`) and leave it to that one (`leave`): the folder is locked
/// as long as either has it open.
public final class DataFolderLock: Sendable {
  /// The open file that the lock belongs to.
  public let descriptor: Int32
  private let isLeft = Mutex(false)

  /// Makes the folder when it is missing. Throws `failedPrecondition` that names the other process.
  public init(data: String) throws(PlatformError) {
    try Files.makeFolder(data)
    let path = data + "/lock"
    let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else { throw Files.failure("open \(path)") }
    guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
      close(descriptor)
      let owner = try Files.read(path, limit: 64).map { String(decoding: $0, as: UTF8.self) } ?? "unknown"
      throw PlatformError(
        .failedPrecondition,
        "data folder \(data) is used by another roost (process \(owner)): stop it, or give another --data",
        origin: .caller, field: "data")
    }
    self.descriptor = descriptor
    try sign()
  }

  /// Shares the lock of the process that started this one, which is still the owner of the folder.
  public init(inheriting descriptor: Int32) throws(PlatformError) {
    guard fcntl(descriptor, F_SETFD, FD_CLOEXEC) == 0, flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
      throw PlatformError(.failedPrecondition, "the lock of the data folder was not handed over")
    }
    self.descriptor = descriptor
    leave()
  }

  /// Says in the file that this process is the owner, which it is from now on.
  public func sign() throws(PlatformError) {
    isLeft.withLock { $0 = false }
    guard ftruncate(descriptor, 0) == 0, lseek(descriptor, 0, SEEK_SET) == 0 else {
      throw Files.failure("write the data folder's lock")
    }
    try Files.write(String(getpid()).utf8, to: descriptor)
  }

  /// Another process has the lock too, and is the owner: the end of this object leaves it to that one.
  public func leave() { isLeft.withLock { $0 = true } }

  deinit {
    guard !isLeft.withLock({ $0 }) else {
      close(descriptor)
      return
    }
    // Unlocked by name: a child between fork and exec has the descriptor too, and would keep the lock for a moment.
    _ = flock(descriptor, LOCK_UN)
    close(descriptor)
  }
}
