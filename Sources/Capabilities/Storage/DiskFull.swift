import Domain
import Glibc

/// The one error of a disk without room, whoever meets it.
enum DiskFull {
  static func means(_ number: Int32) -> Bool { number == ENOSPC || number == EDQUOT }

  static func error(cause: (any Error)? = nil) -> PlatformError {
    PlatformError(
      .resourceExhausted,
      "the disk that holds the data folder is full (or its quota is reached): free some space and try again; nothing was changed",
      cause: cause)
  }
}
