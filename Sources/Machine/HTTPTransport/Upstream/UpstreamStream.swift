internal import Reactor

/// One stream of HTTP/2 to an instance: a request and its answer.
final class UpstreamStream: UpstreamExchange {
  enum State: UInt8 {
    case free
    /// The library does not know it yet.
    case queued
    case open
    /// The owner is done with it; the library is not.
    case over
  }

  let slot: Int
  var session: UpstreamSession?
  var state = State.free
  var id: Int32 = -1
  /// Where it stands in the session's list.
  var place = 0
  /// The request's head in the form of HTTP/1.1.
  let request = ByteQueue()
  var framing = UpstreamBody.none
  /// Bytes of the request's body that wait to be sent.
  let output = ByteQueue()
  let requestTrailers = ByteQueue()
  /// The library waits for more of the body.
  var isDeferred = false
  /// The head of the answer in the form of HTTP/1.1.
  let headBytes = ByteQueue()
  var hasHead = false
  let trailers = ByteQueue()
  /// What came while the owner paused.
  let held = ByteQueue()
  /// Bytes that the owner has taken and the instance's window has not got back.
  var consumed = 0
  var window = StreamWindow()
  /// The instance has sent everything.
  var answerEnded = false
  /// Bytes pass both ways: the instance has accepted the WebSocket.
  var isRaw = false
  /// The owner knows that the instance has closed its side of it.
  var saidEnd = false
  /// Nobody waits for the rest of the answer: the stream is reset once the request has left.
  var isParted = false
  /// The stream is to be reset with this code.
  var resetCode: UInt32?
  var isPending = false

  init(slot: Int, target: UpstreamTarget) {
    self.slot = slot
    super.init(target, isHTTP2: true)
  }

  func open(_ session: UpstreamSession) {
    self.session = session
    target = session.target
    state = .queued
    id = -1
    isDeferred = false
    hasHead = false
    consumed = 0
    window.open(at: session.client.loop.now)
    answerEnded = false
    isRaw = false
    saidEnd = false
    isParted = false
    resetCode = nil
    isPending = false
    isFull = false
    isPaused = false
    isConnected = session.isConnected
  }

  func release() {
    state = .free
    session = nil
    base = nil
    request.clear()
    output.clear()
    requestTrailers.clear()
    headBytes.clear()
    trailers.clear()
    held.clear()
  }

  func free() {
    request.free()
    output.free()
    requestTrailers.free()
    headBytes.free()
    trailers.free()
    held.free()
  }
}
