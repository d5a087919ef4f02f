internal import CLinux
internal import Reactor
internal import TLS
internal import Wire

/// One client's connection: of HTTP/1.1 it is the exchange at hand as well, of HTTP/2 it has a session with streams.
final class HTTPConnection: HTTPExchange {
  enum State: UInt8 {
    /// Waiting for the header of the PROXY protocol, before TLS and HTTP.
    case proxyHeader
    /// Waiting for a head.
    case head
    /// Collecting a body of known length.
    case body
    /// Collecting a chunked body.
    case chunked
    /// The request is with the owner.
    case owned
    /// Answered and closing: what still comes is thrown away, so that the answer isn't lost to a reset.
    case lingering
    /// Speaks HTTP/2: see `session`.
    case http2
    case closed
  }

  /// What of a streamed request is still to come.
  enum Incoming: UInt8 {
    case nothing, counted, chunked
    /// After an upgrade: bytes without framing, to the end of the connection.
    case raw
  }

  /// How the body of the answer is framed.
  enum Outgoing: UInt8 {
    case counted, chunked
    /// Bytes without framing; the end of the connection is the end of the body.
    case raw
    /// To HEAD, 204 and 304 nothing is sent.
    case none
  }

  var descriptor: Int32 = -1
  var state = State.closed
  var address = sockaddr_storage()
  let input = ByteQueue()
  var scanned = 0
  var bodyLimit = 0
  var decoder = ChunkedDecoder()
  var deadline: Int64 = 0
  var timer = TimerWheel.Token.none
  var watched: ReadyEvents = []
  var isDirty = false
  var isBlocked = false
  var closesAfterAnswer = false
  /// Refused in the middle of a request: reading on keeps the answer from being lost to a reset.
  var lingers = false
  /// The request is in order, and its client may send the rest.
  var mayFinish = false
  /// When the answer had left.
  var overdueAt: Int64 = 0
  var requests = 0
  /// The decoded body of a chunked request.
  let collected = ByteQueue()
  /// What of the server's `heldBytes` is this connection's.
  var heldBytes = 0
  /// In the body of a request that is collected.
  var isCollecting: Bool { state == .body || state == .chunked }
  var session: HTTP2Session?
  /// Ciphers what comes and goes; nil in plaintext.
  var tls: TLSEngine?
  /// Ciphertext that the socket has not taken yet.
  let wire = ByteQueue()
  var incoming = Incoming.nothing
  /// Bytes of a streamed body of known length that are still to come.
  var remaining = 0
  /// Bytes of the former request's body that are still to come and nobody wants.
  var skips = 0
  var outgoing = Outgoing.counted
  /// An upgraded connection: our side is closed once the output is written.
  var endsWrites = false

  init(slot: Int) { super.init(slot: slot, isHTTP2: false) }
}
