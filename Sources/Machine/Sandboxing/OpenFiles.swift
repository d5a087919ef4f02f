internal import CLinux

/// The limit of open files of this process (`RLIMIT_NOFILE`).
public enum OpenFiles {
  /// Raises the limit as far as this process may; the limit in force then. Processes that are started later get the limit of
  /// before. Call it before the first of them.
  public static func raiseLimit() -> UInt64 { roost_raise_open_files() }

  /// How many files this process may have open now.
  public static var limit: UInt64 {
    var hard: UInt64 = 0
    return roost_open_files_limit(&hard)
  }
}
