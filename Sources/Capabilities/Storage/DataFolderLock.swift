public import Domain
import Glibc

/// The right to use a data folder: one process at a time. Ends with the process, however it dies.
public final class DataFolderLock: Sendable {
  private let descriptor: Int32

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
    do throws(PlatformError) {
      guard ftruncate(descriptor, 0) == 0 else { throw Files.failure("write \(path)") }
      try Files.write(String(getpid()).utf8, to: descriptor)
    } catch {
      close(descriptor)
      throw error
    }
    self.descriptor = descriptor
  }

  deinit {
    // Unlocked by name: a child between fork and exec has the descriptor too, and would keep the lock for a moment.
    _ = flock(descriptor, LOCK_UN)
    close(descriptor)
  }
}
