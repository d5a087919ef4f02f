internal import Reactor
internal import Wire

/// A connection of HTTP/1.1 to an instance; it is the exchange at hand as well.
final class UpstreamConnection: UpstreamExchange {
  enum State: UInt8 {
    case closed
    case connecting
    /// Waits in its target's pool.
    case idle
    /// A request is out (or leaving) and the head of its answer has not come.
    case waiting
    /// In the body of an answer.
    case counted, chunked, untilClose
    /// Upgraded: bytes without framing.
    case raw
  }

  let slot: Int
  var generation: UInt32 = 0
  var descriptor: Int32 = -1
  var state = State.closed
  /// The beginning of a head whose end has not come.
  let input = ByteQueue()
  let output = ByteQueue()
  let trailers = ByteQueue()
  var decoder = ChunkedDecoder()
  /// Bytes of a counted body that are still to come.
  var remaining = 0
  var scanned = 0
  var watched: ReadyEvents = []
  var isWatched = false
  var isDirty = false
  var isHEAD = false
  var sendsChunks = false
  /// Bytes of this request that were handed to the kernel.
  var sent = 0
  var served = 0
  /// When the connection closes if it stays idle (monotonic nanoseconds).
  var idleUntil: Int64 = 0
  var idleSince: Int64 = 0
  /// What writing failed with, 0 if it didn't; an answer may still be there to read.
  var writeError: Int32 = 0
  var peerClosed = false
  var cipher: UpstreamCipher?
  /// Plaintext may wait in the cipher, since the owner paused.
  var holdsPlaintext = false

  init(slot: Int, target: UpstreamTarget) {
    self.slot = slot
    super.init(target, isHTTP2: false)
  }

  /// Names this use of the slot.
  var key: UInt64 { UInt64(generation & 0xff_ffff) << 32 | UInt64(slot) }
  var isReused: Bool { served > 0 }
  var writesFailed: Bool { writeError != 0 }
}
