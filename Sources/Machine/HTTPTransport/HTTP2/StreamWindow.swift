/// How far the other side of a stream may send ahead of those who take what it sends.
///
/// A stream gets at most a window of bytes through in the time of a round trip: 256 KiB are plenty within a machine room, and 12 MB/s at
/// 20 ms. So a stream of which a whole window came within a second, all of it taken, gets twice the window, and later streams of the
/// connection get as much when their bodies turn out to be large. Windows are promises of memory, for owners that pause: what is given
/// beyond the first is counted, and when a connection or the loop has given enough the others stay as they are.
struct StreamWindow {
  static let first: Int32 = 256 << 10
  static let largest: Int32 = 4 << 20
  /// Window of a connection. It comes back at once, whoever waits: streams hold the other side back for themselves.
  static let ofConnection: Int32 = 16 << 20
  /// Bytes within a second that make a body a large one.
  private static let largeBurst = 64 << 10

  /// What streams beyond their first windows have got.
  struct Budget {
    /// Of all connections of a loop, those to clients or those to instances.
    static let ofLoop = 128 << 20
    static let ofConnection = 32 << 20

    var given = 0
  }

  /// What the streams of one connection know of each other.
  struct Connection {
    /// What streams with large bodies get.
    var usual = StreamWindow.first
    var budget = Budget()
  }

  /// Bytes that may be sent before any are taken, and what of it the other side knows.
  private var size = StreamWindow.first
  private var said = StreamWindow.first
  /// Bytes that were taken within the second that began then.
  private var burst = 0
  private var burstAt: Int64 = 0

  /// Bytes that are worth to be given back: the library says nothing of less than half a window, so most bodies never need to be
  /// looked at for it.
  var leastGivenBack: Int { Int(size) / 4 }

  /// A stream begins.
  mutating func open(at now: Int64) {
    said = size
    burst = 0
    burstAt = now
  }

  /// These bytes were taken. True when the window has grown for it, which the other side is to be told.
  mutating func take(
    _ count: Int, at now: Int64, _ connection: inout Connection, _ loop: inout Budget
  ) -> Bool {
    if now - burstAt > 1_000_000_000 {
      burstAt = now
      burst = 0
    }
    burst += count
    guard burst >= Self.largeBurst else { return false }
    if burst >= Int(size) {
      burst = 0
      connection.usual = max(connection.usual, min(2 * size, Self.largest))
    }
    let more = Int(connection.usual - size)
    guard more > 0, connection.budget.given + more <= Budget.ofConnection, loop.given + more <= Budget.ofLoop
    else { return false }
    connection.budget.given += more
    loop.given += more
    size = connection.usual
    return true
  }

  /// What the other side is to be told, once.
  mutating func unsaid() -> Int32? {
    guard size > said else { return nil }
    said = size
    return size
  }

  /// The stream is over: others may have what it had.
  mutating func close(_ connection: inout Connection, _ loop: inout Budget) {
    let more = Int(size - Self.first)
    connection.budget.given -= more
    loop.given -= more
    size = Self.first
  }
}
