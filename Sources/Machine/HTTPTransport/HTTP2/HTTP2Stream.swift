internal import Reactor

/// One stream of HTTP/2: a request and its answer. Lives in its server's slab.
final class HTTP2Stream: HTTPExchange {
  /// Set in the slots of streams, so that one number names a connection or a stream.
  static let slotMark = 1 << 31

  enum State: UInt8 {
    case closed
    /// Its header block is arriving.
    case head
    /// Its body is collected.
    case collecting
    /// The request is with the owner, whole or in parts.
    case owned
  }

  enum Answer: UInt8 {
    case none
    /// `begin` was called: header lines gather in `output`.
    case head
    /// The head is complete: the session submits it when it pumps.
    case ready
    /// The library has the head and takes the body from `output`.
    case submitted
  }

  /// The session, while the stream is open: it closes its streams before it goes.
  private(set) var session: Unmanaged<HTTP2Session>?
  var id: Int32 = 0
  /// Where it stands in the session's list.
  var place = 0
  var state = State.closed
  /// The head in the form of HTTP/1.1.
  let headBytes = ByteQueue()
  /// The body so far, or what came of it while the owner paused.
  let collected = ByteQueue()
  /// What of the server's `heldBytes` is this stream's.
  var heldBytes = 0
  /// Trailers of the request, as lines.
  let trailers = ByteQueue()
  var bodyLimit = 0
  /// Why the head can't be served, found while it arrived.
  var fault: (status: Int, message: String)?
  /// The client has sent everything.
  var requestEnded = false
  /// `bodyEnded` was called.
  var endDelivered = false
  /// Bytes of the body that the owner has taken and the client's window has not got back.
  var consumed = 0
  var window = StreamWindow()
  /// When the client last sent of this request or took of its answer, or when there was something for it to take again.
  var movedAt: Int64 = 0

  var answer = Answer.none
  var status = 0
  /// An extended CONNECT that was accepted: bytes pass both ways, each side ends for itself.
  var isRaw = false
  /// Bytes of `output` that are header lines.
  var headCount = 0
  /// To HEAD, 204 and 304 nothing is sent.
  var sendsNoBody = false
  /// The owner has given the whole answer.
  var hasEnded = false
  /// The answer has left and the client still sends.
  var isOverdue = false
  /// Since when.
  var overdueAt: Int64 = 0
  /// The library waits for more of the body.
  var isDeferred = false
  let answerTrailers = ByteQueue()
  /// Interim answers: a status of three digits, lines, an empty line.
  let interim = ByteQueue()
  /// The owner gave up: the stream is to be reset with this code.
  var resetCode: UInt32?
  /// The reset is the client's fault.
  var isBroken = false
  /// The session looks at this stream when it pumps.
  var isPending = false

  init(index: Int) { super.init(slot: index | Self.slotMark, isHTTP2: true) }

  /// The owner still has something to do with this request.
  var isWithOwner: Bool { isRaw ? !(hasEnded && endDelivered) : !hasEnded }
  /// Bytes of the body go to the owner as they come.
  var takesParts: Bool { isStreamed && resetCode == nil && (!hasEnded || isRaw) }

  /// Makes a closed stream ready for a new request.
  func open(_ session: HTTP2Session, id: Int32, now: Int64) {
    generation &+= 1
    self.session = Unmanaged.passUnretained(session)
    self.id = id
    state = .head
    fault = nil
    requestEnded = false
    endDelivered = false
    consumed = 0
    window.open(at: now)
    movedAt = now
    answer = .none
    headCount = 0
    sendsNoBody = false
    hasEnded = false
    isOverdue = false
    isDeferred = false
    resetCode = nil
    isBroken = false
    isRaw = false
    isPending = false
    isStreamed = false
    isPaused = false
    isFull = false
    hasBegun = false
    isExtendedConnect = false
    isGRPC = false
    ownerTag = 0
  }

  /// The session looks at this stream when it pumps.
  func enqueue() { session?._withUnsafeGuaranteedRef { $0.enqueue(self) } }

  /// Gives memory back; small buffers stay for the next use of the slot.
  func release() {
    state = .closed
    session = nil
    base = nil
    headBytes.clear()
    collected.clear()
    trailers.clear()
    output.clear()
    answerTrailers.clear()
    interim.clear()
  }

  func free() {
    headBytes.free()
    collected.free()
    trailers.free()
    output.free()
    answerTrailers.free()
    interim.free()
  }
}
