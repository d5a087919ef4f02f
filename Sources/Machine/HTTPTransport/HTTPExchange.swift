internal import CLinux
public import Reactor
public import Wire

/// How the body of a request comes to the owner.
public enum BodyPlan: Sendable {
  /// Whole, with `received`; a body beyond the limit (bytes) is refused with 413.
  case collect(limit: Int)
  /// In parts as they come, with `bodyPart` and `bodyEnded`. The owner may answer at any time.
  case stream
}

/// One request and its answer: the owner's view, the same for every version of HTTP.
///
/// A connection of HTTP/1.1 is its own exchange, used for one request after the other; HTTP/2 has one per stream. Lives in
/// its server's slab and is used again after it closed; touch it on its loop only.
public class HTTPExchange {
  final let slot: Int
  /// Counts uses of this slot: an answer for an earlier use must not reach a later one.
  public final internal(set) var generation: UInt32 = 0
  /// Whether this is a stream of HTTP/2.
  public final let isHTTP2: Bool
  /// The head of the request at hand. Its places count from `base`.
  public final internal(set) var head = HTTP1Head()
  /// The bytes of the head: valid while `arrived` or `received` runs. Heads of HTTP/2 are written in the form of HTTP/1.1.
  public final internal(set) var base: UnsafePointer<UInt8>?
  /// Where answers are written: header lines between `begin` and `endHead`, then a body of known length.
  public final let output = ByteQueue()
  /// Free for the owner: which of its requests this exchange waits for.
  public final var ownerTag: UInt64 = 0
  /// An extended CONNECT for WebSocket (RFC 8441): answered with 200 and `upgrade`, not with 101.
  public final internal(set) var isExtendedConnect = false
  /// The content type is `application/grpc`, on HTTP/2.
  public final internal(set) var isGRPC = false
  /// The connection is encrypted.
  public final internal(set) var isTLS = false
  /// Who the request came from; nil: over a unix socket.
  public final internal(set) var peer: NetworkAddress?
  /// Whether what the peer says about the callers before it is taken.
  public final internal(set) var isPeerTrusted = false
  /// The owner gets this request's body in parts.
  public final internal(set) var isStreamed = false
  /// An answer (not an interim one) has begun.
  public final internal(set) var hasBegun = false
  /// The owner asked to wait with more of the request's body.
  final var isPaused = false
  /// `send` said that the output is full and `writable` has not been called since.
  public final internal(set) var isFull = false

  init(slot: Int, isHTTP2: Bool) {
    self.slot = slot
    self.isHTTP2 = isHTTP2
  }

  /// Names this use of the exchange.
  public final var key: UInt64 { UInt64(generation & 0xff_ffff) << 32 | UInt64(slot) }

  /// Output beyond which `send` asks the owner to pause, and below which `writable` is called: bytes.
  static let highWater = 1 << 20
  static let lowWater = 256 << 10
}

/// What an `HTTPServer` gives its requests to. All calls come on the loop's thread.
public protocol HTTPServerOwner: AnyObject {
  /// A head was parsed. With `.stream` the owner may answer at once, here.
  func arrived(_ exchange: HTTPExchange, fields: UnsafeMutablePointer<HTTP1Field>) -> BodyPlan
  /// A whole request is there (`.collect`). The owner answers now or later, exactly once. The memory is valid during this
  /// call.
  func received(
    _ exchange: HTTPExchange, fields: UnsafeMutablePointer<HTTP1Field>, body: UnsafePointer<UInt8>, count: Int
  )
  /// Bytes of the body (`.stream`), without transfer coding, or of an upgraded connection. Valid during this call.
  func bodyPart(_ exchange: HTTPExchange, _ bytes: UnsafePointer<UInt8>, _ count: Int)
  /// The body is complete (`.stream`), or the peer of an upgraded connection closed its side. `trailers` are lines
  /// `name: value` that each end with CR LF, valid during this call.
  func bodyEnded(_ exchange: HTTPExchange, trailers: UnsafeBufferPointer<UInt8>)
  /// There is room again after `send` returned false.
  func writable(_ exchange: HTTPExchange)
  /// The rest of a streamed body did not come in time: the owner answers 408 or resets.
  func stalled(_ exchange: HTTPExchange)
  /// The client went away while its request was with the owner; no answer is possible any more.
  func abandoned(_ exchange: HTTPExchange)
  /// The body of a request that is collected is beyond `HTTPServer.modestBody` bytes, or says that it will be: why the caller
  /// may not send so much, or nil. Asked once for each such request.
  func objection(_ exchange: HTTPExchange, fields: UnsafeMutablePointer<HTTP1Field>) -> HTTPObjection?
  /// The transport itself refuses: the owner words the answer, the connection closes after it.
  func refused(_ exchange: HTTPExchange, status: Int, message: String)
}

/// Why a request is not taken, and the status of the answer.
public struct HTTPObjection: Sendable {
  public var status: Int
  public var message: String

  public init(status: Int, message: String) {
    self.status = status
    self.message = message
  }
}

extension HTTPServerOwner {
  public func objection(_ exchange: HTTPExchange, fields: UnsafeMutablePointer<HTTP1Field>) -> HTTPObjection?
  {
    nil
  }
  public func bodyPart(_ exchange: HTTPExchange, _ bytes: UnsafePointer<UInt8>, _ count: Int) {}
  public func bodyEnded(_ exchange: HTTPExchange, trailers: UnsafeBufferPointer<UInt8>) {}
  public func writable(_ exchange: HTTPExchange) {}
  public func stalled(_ exchange: HTTPExchange) {}
}
