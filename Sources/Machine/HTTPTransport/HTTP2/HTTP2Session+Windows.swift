internal import CNghttp2
internal import Reactor

/// How far clients may send ahead of those who take their requests.
extension HTTP2Session {
  /// The owner has taken these bytes.
  func take(_ stream: HTTP2Stream, _ count: Int) {
    giveBack(stream, count)
    if stream.window.take(count, at: loop.now, &windows, &server.widened) { enqueue(stream) }
  }

  /// The client's window gets these bytes back.
  func giveBack(_ stream: HTTP2Stream, _ count: Int) {
    stream.consumed += count
    if stream.consumed >= stream.window.leastGivenBack { enqueue(stream) }
  }

  /// Tells the client of a window that grew.
  func sayWindow(_ stream: HTTP2Stream) {
    guard !stream.requestEnded, let window = stream.window.unsaid() else { return }
    nghttp2_session_set_local_window_size(session, UInt8(NGHTTP2_FLAG_NONE.rawValue), stream.id, window)
  }
}
