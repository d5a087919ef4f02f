internal import CNghttp2
internal import Reactor

/// How far clients may send ahead of those who take their requests.
///
/// A stream gets at most a window of bytes through in the time of a round trip: 256 KiB are plenty within a machine room, and 12 MB/s at
/// 20 ms. So a stream of which a whole window came within a second, all of it taken, gets twice the window, and later streams of the
/// connection get as much when their bodies turn out to be large. Windows are promises of memory, for owners that pause: what is given
/// beyond the first is counted, and when a connection or the loop has given enough the others stay as they are.
extension HTTP2Session {
  static let largestWindow: Int32 = 4 << 20
  /// Bytes within a second that make a body a large one.
  static let largeBurst = 64 << 10
  /// Bytes that the streams of a connection may have beyond their first windows.
  static let mostWidened = 32 << 20
  /// The same for all connections of a loop.
  static let mostWidenedOfAll = 128 << 20

  /// The owner has taken these bytes.
  func take(_ stream: HTTP2Stream, _ count: Int) {
    giveBack(stream, count)
    if loop.now - stream.burstAt > 1_000_000_000 {
      stream.burstAt = loop.now
      stream.burst = 0
    }
    stream.burst += count
    guard stream.burst >= Self.largeBurst else { return }
    if stream.burst >= Int(stream.window) {
      stream.burst = 0
      window = max(window, min(2 * stream.window, Self.largestWindow))
    }
    widen(stream)
  }

  /// The client's window gets these bytes back.
  func giveBack(_ stream: HTTP2Stream, _ count: Int) {
    stream.consumed += count
    // The library says nothing of less than half a window: most bodies never need to be looked at for it.
    if stream.consumed >= Int(stream.window) / 4 { enqueue(stream) }
  }

  /// Gives a stream the window that bodies on this connection need, if there is enough for it.
  private func widen(_ stream: HTTP2Stream) {
    let more = Int(window - stream.window)
    guard more > 0, widened + more <= Self.mostWidened, server.widened + more <= Self.mostWidenedOfAll
    else { return }
    widened += more
    server.widened += more
    stream.window = window
    enqueue(stream)
  }

  /// Tells the client of a window that grew.
  func sayWindow(_ stream: HTTP2Stream) {
    guard stream.window > stream.saidWindow, !stream.requestEnded else { return }
    stream.saidWindow = stream.window
    nghttp2_session_set_local_window_size(
      session, UInt8(NGHTTP2_FLAG_NONE.rawValue), stream.id, stream.window)
  }

  /// A stream is over: others may have what it had.
  func reclaimWindow(_ stream: HTTP2Stream) {
    let more = Int(stream.window) - Int(Self.streamWindow)
    widened -= more
    server.widened -= more
    stream.window = Int32(Self.streamWindow)
  }
}
