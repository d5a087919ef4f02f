/// How the open files that the process may have are shared out, so that clients who come in numbers take no file from the
/// instances and from what looks after them.
///
/// A new descriptor has the lowest free number: as long as it is below a bound, so is the number of open files.
public struct OpenFileShares: Sendable, Equatable {
  /// Connections of clients are accepted while the next descriptor is below this: three quarters of the limit, or all but
  /// 8,192.
  public var clients: Int32
  /// Connections to instances for proxied requests likewise: half of the rest.
  public var instances: Int32

  /// `limit`: files that the process may have open (`RLIMIT_NOFILE`).
  public init(limit: UInt64) {
    let limit = Int32(clamping: limit)
    let reserve = min(limit / 4, 8192)
    clients = limit - reserve
    instances = limit - reserve / 2
  }

  /// No bounds but the process' own.
  public static let unbounded = OpenFileShares(limit: UInt64.max)
}
