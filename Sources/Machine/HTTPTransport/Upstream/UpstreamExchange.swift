public import Wire

/// How the body of a request to an instance is framed.
public enum UpstreamBody: Equatable, Sendable {
  case none
  /// Exactly so many bytes.
  case counted(Int)
  /// Ends with `end`; may have trailers.
  case unknown
  /// Not a body: bytes that pass both ways once the instance accepts the stream. Only of HTTP/2, where the request becomes an
  /// extended CONNECT (RFC 8441) for a WebSocket. An answer of the class 2xx accepts.
  case webSocket
}

/// Why an exchange with an instance has no (whole) answer.
public struct UpstreamFailure: Error, Equatable, Sendable {
  public enum Kind: UInt8, Sendable {
    /// No connection: nothing was sent.
    case connect
    /// The connection ended before the first byte of an answer.
    case closed
    /// The answer is not HTTP.
    case malformed
    /// The answer broke off.
    case truncated
    /// The instance refused the stream unprocessed (HTTP/2 REFUSED_STREAM or a GOAWAY before it).
    case unprocessed
    /// The instance does not offer extended CONNECT (RFC 8441): nothing was sent.
    case noWebSocket
  }

  public var kind: Kind
  /// `errno`; 0 for an orderly end.
  public var code: Int32
  /// The code of a RST_STREAM; nil: none came.
  public var http2Code: UInt32?
  public var fault: HTTP1Fault?
  /// Not one byte of the request left this process: it may be sent again, whatever it is.
  public var nothingSent: Bool
  /// The connection had served before: it may have been closed while it was idle.
  public var isReused: Bool
  /// Why there was no encrypted connection; nil: it did not fail for that.
  public var tls: String?
  /// The instance had said (GOAWAY) that it takes no more requests on this connection.
  public var isLeaving: Bool

  /// Nobody took the connection in time.
  public static let connectTimeout = UpstreamFailure(.connect, code: 110, nothingSent: true)

  init(
    _ kind: Kind, code: Int32 = 0, http2Code: UInt32? = nil, fault: HTTP1Fault? = nil,
    nothingSent: Bool = false, isReused: Bool = false, isLeaving: Bool = false, tls: String? = nil
  ) {
    self.kind = kind
    self.code = code
    self.http2Code = http2Code
    self.fault = fault
    self.nothingSent = nothingSent
    self.isReused = isReused
    self.isLeaving = isLeaving
    self.tls = tls
  }
}

/// One request to an instance and its answer: the same for every version of HTTP. Its client owns it and uses it again;
/// touch it on its loop only, and not after `upstreamEnded` or `upstreamFailed`.
public class UpstreamExchange {
  /// Free for the owner: which of its requests this is.
  public final var ownerTag: UInt64 = 0
  /// The head of the answer, with its `status`. Its places count from `base`.
  public final internal(set) var head = HTTP1Head()
  /// The bytes of the head: valid while `upstreamInformational` or `upstreamHead` runs.
  public final internal(set) var base: UnsafePointer<UInt8>?
  /// Whether this is a stream of HTTP/2.
  public final let isHTTP2: Bool
  /// Where it goes.
  public final internal(set) var target: UpstreamTarget
  /// `send` said that the output is full and `upstreamWritable` has not been called since.
  final var isFull = false
  final var isPaused = false
  /// There is a connection; else it is being made.
  public final internal(set) var isConnected = true
  /// The owner has given the whole request.
  public final internal(set) var requestEnded = false

  init(_ target: UpstreamTarget, isHTTP2: Bool) {
    self.target = target
    self.isHTTP2 = isHTTP2
  }
}

/// Who has requests for instances. All calls come on the loop's thread.
public protocol UpstreamOwner: AnyObject {
  /// There is a connection: the request leaves.
  func upstreamConnected(_ exchange: UpstreamExchange)
  /// An interim answer other than 101.
  func upstreamInformational(_ exchange: UpstreamExchange, fields: UnsafeMutablePointer<HTTP1Field>)
  /// The head of the answer; after a 101 the bytes pass both ways without framing.
  func upstreamHead(_ exchange: UpstreamExchange, fields: UnsafeMutablePointer<HTTP1Field>)
  /// Bytes of the body, without transfer coding; valid during this call.
  func upstreamPart(_ exchange: UpstreamExchange, _ bytes: UnsafePointer<UInt8>, _ count: Int)
  /// The answer is complete and the exchange is not the owner's any more. After a 101, or of an accepted `webSocket`: the
  /// instance closed its side; the exchange ends when the owner has called `end` too. `trailers` are lines that end with CR LF, valid during this call.
  func upstreamEnded(_ exchange: UpstreamExchange, trailers: UnsafeBufferPointer<UInt8>)
  /// There is room again after `send` returned false.
  func upstreamWritable(_ exchange: UpstreamExchange)
  /// No (whole) answer will come; the exchange is not the owner's any more.
  func upstreamFailed(_ exchange: UpstreamExchange, _ failure: UpstreamFailure)
}
