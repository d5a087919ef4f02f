internal import CLinux
public import Reactor
public import Wire

/// One client's connection. Lives in its server's slab and is used again after it closed; touch it on its loop only.
public final class HTTPConnection {
  enum State: UInt8 {
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
    case closed
  }

  let slot: Int
  /// Counts uses of this slot: an answer for an earlier use must not reach a later one.
  public internal(set) var generation: UInt32 = 0
  var descriptor: Int32 = -1
  var state = State.closed
  var address = sockaddr_storage()
  var input = ByteQueue()
  var scanned = 0
  var bodyLimit = 0
  var decoder = ChunkedDecoder()
  var deadline: Int64 = 0
  var timer = TimerWheel.Token.none
  var watched: ReadyEvents = []
  var isDirty = false
  var closesAfterAnswer = false
  /// Refused in the middle of a request: reading on keeps the answer from being lost to a reset.
  var lingers = false
  var requests = 0
  /// The decoded body of a chunked request.
  var collected = ByteQueue()

  /// The head of the request at hand. Its places count from `base`.
  public internal(set) var head = HTTP1Head()
  /// The bytes of the head: valid while `received` runs.
  public internal(set) var base: UnsafePointer<UInt8>?
  /// Where answers are written.
  public var output = ByteQueue()
  /// Free for the owner: which of its requests this connection waits for.
  public var ownerTag: UInt64 = 0

  init(slot: Int) { self.slot = slot }

  /// Names this use of the connection.
  public var key: UInt64 { UInt64(generation & 0xff_ffff) << 32 | UInt64(slot) }

  /// `address:port` of the peer.
  public var peer: String {
    withUnsafeTemporaryAllocation(of: CChar.self, capacity: 80) { buffer in
      guard let out = buffer.baseAddress else { return "" }
      let count = roost_peer_name(&address, out, 80)
      return out.withMemoryRebound(to: UInt8.self, capacity: 80) {
        String(decoding: UnsafeBufferPointer(start: $0, count: count), as: UTF8.self)
      }
    }
  }
}
