internal import Domain
internal import HTTPTransport
internal import Reactor
internal import TLS
internal import Wire

/// One proxied request on its way. Lives in its loop's slab and is used again.
final class ProxyRequest {
  enum State: UInt8 {
    case free
    /// Waits for an instance.
    case queued
    /// Has an instance; the connection to it is being made.
    case connecting
    /// The request is leaving or has left; no answer yet.
    case waiting
    /// The head of the answer was passed on.
    case answering
    /// Bytes pass both ways.
    case upgraded
  }

  /// The time that ended.
  enum Deadline { case queue, connect, firstByte, idle, total, caller }

  /// Body bytes that are kept so that the request may be sent again.
  static let replayLimit = 64 << 10
  /// Marks the tags of proxied requests among those of execute requests.
  static let mark: UInt64 = 0x8000_0000

  let slot: Int
  var serial: UInt32 = 1
  var state = State.free
  var exchange: UInt64 = 0
  var node: LoopNode?
  /// The alias through which it came.
  var choice: AliasChoice?
  /// The tag of what waits for the end of a hold in its place; 0: nothing.
  var held: UInt64 = 0
  /// The copy that is made of it.
  var capture: Capture?
  var target: ProxyTarget?
  var upstream: UpstreamExchange?
  /// Of an execute request for a saved model: what it is made of, and how it is answered.
  var execution: ModelExecution?
  var arrived: Int64 = 0
  /// When it was first given to an instance; 0: not yet.
  var dispatched: Int64 = 0
  var attemptBegan: Int64 = 0
  var answered: Int64 = 0
  /// The last byte in either direction.
  var active: Int64 = 0
  /// Monotonic nanoseconds; `Int64.max`: none.
  var totalDeadline = Int64.max
  var callerSetDeadline = false
  var ticket: UInt64 = 0
  var timer = TimerWheel.Token.none
  var timerAt: Int64 = 0
  var identifier: InlineArray<64, UInt8> = .init(repeating: 0)
  var identifierCount = 0
  var trace = TraceContext()
  var peer: NetworkAddress?
  var route = RequestRecord.Route.unknown
  /// What counts its answer.
  var path: PathCounters?
  /// The same for the alias.
  var aliasPath: PathCounters?
  /// Request line and header lines for the instance.
  let head = ByteQueue()
  var framing = UpstreamBody.none
  /// The beginning of the body, as long as it may be sent (again).
  let body = ByteQueue()
  let trailers = ByteQueue()
  /// Everything of the body that has come is in `body`.
  var keepsBody = true
  /// What of the server's `heldBytes` is its body's, while it waits for an instance.
  var heldBytes = 0
  var requestEnded = false
  var responseEnded = false
  var isIdempotent = false
  var asksUpgrade = false
  /// The caller can take trailers.
  var asksTrailers = false
  var isWebSocket = false
  /// A WebSocket to an instance of HTTP/2: an extended CONNECT (RFC 8441).
  var isTunnel = false
  /// The key of a caller of HTTP/1.1 whose WebSocket is such a tunnel.
  var webSocketKey: InlineArray<24, UInt8> = .init(repeating: 0)
  var isGRPC = false
  /// Its answer is a stream of events whose end tells nobody that something is missing.
  var isEventStream = false
  /// What the instance said in `grpc-status`; -1: nothing.
  var grpcStatus = -1
  var saidInterim = false
  var attempts = 0
  /// A kept connection failed: the next attempt at the same instance makes a new one.
  var wantsFresh = false
  var status = 0
  var received = 0
  var sent = 0
  var toCaller = WebSocketFrames()
  var toInstance = WebSocketFrames()
  /// Both ends are asked to go.
  var isLeaving = false
  var saidToCaller = false
  var saidToInstance = false

  init(slot: Int) { self.slot = slot }

  /// Names this use of the slot.
  var tag: UInt64 { UInt64(serial & 0xff_ffff) << 32 | Self.mark | UInt64(slot) }

  func free() {
    head.free()
    body.free()
    trailers.free()
  }

  /// Prepares the slot for a request.
  func reset() {
    path = nil
    aliasPath = nil
    held = 0
    dispatched = 0
    answered = 0
    totalDeadline = .max
    callerSetDeadline = false
    ticket = 0
    framing = .none
    keepsBody = true
    requestEnded = false
    responseEnded = false
    isIdempotent = false
    asksUpgrade = false
    asksTrailers = false
    isWebSocket = false
    isTunnel = false
    isGRPC = false
    isEventStream = false
    grpcStatus = -1
    saidInterim = false
    attempts = 0
    wantsFresh = false
    status = 0
    received = 0
    sent = 0
    toCaller = WebSocketFrames()
    toInstance = WebSocketFrames()
    isLeaving = false
    saidToCaller = false
    saidToInstance = false
  }
}

/// An instance with an `http1` or `http2` endpoint as one loop sees it.
final class ProxyTarget {
  let shared: SharedInstance
  let upstream: UpstreamTarget
  let instanceKey: NodeKey?
  /// It has left and its time to drain is over.
  var isOver = false
  /// Known to be in another zone than the gateway.
  let isElsewhere: Bool

  init(_ shared: SharedInstance, at endpoint: Endpoint, zone: String, tls: TLSContext?) {
    isElsewhere = !zone.isEmpty && !shared.routed.zone.isEmpty && shared.routed.zone != zone
    self.shared = shared
    instanceKey = NodeKey(shared.routed.id.text)
    let identity = endpoint.serverName.flatMap { name in
      tls.map { UpstreamIdentity(context: $0, serverName: name) }
    }
    // Never in plaintext what was meant to be encrypted.
    let isUsable = endpoint.serverName == nil || identity != nil
    upstream = UpstreamTarget(
      address: isUsable ? endpoint.address : "", isHTTP2: endpoint.wireProtocol == .http2,
      identity: identity)
  }
}

/// Finds the ends of WebSocket frames in a stream of bytes (RFC 6455 5.2), so that a close frame can be put between two.
struct WebSocketFrames {
  private var need = 2
  private var header: InlineArray<10, UInt8> = .init(repeating: 0)
  private var have = 0
  private var rest: UInt64 = 0

  /// A close frame has passed: nothing may follow it.
  private(set) var isClosed = false
  private var isClose = false

  /// Whether the next byte begins a frame.
  var isBetween: Bool { have == 0 && rest == 0 }

  mutating func pass(_ bytes: UnsafePointer<UInt8>, _ count: Int) {
    var at = 0
    while at < count {
      if rest > 0 {
        let step = min(rest, UInt64(count - at))
        rest -= step
        at += Int(step)
        if rest == 0, isClose { isClosed = true }
        continue
      }
      header[have] = bytes[at]
      have += 1
      at += 1
      if have == 2 {
        switch header[1] & 0x7f {
        case 126: need = 4
        case 127: need = 10
        default: need = 2
        }
      }
      guard have == need else { continue }
      var length: UInt64 = 0
      if need == 2 { length = UInt64(header[1] & 0x7f) }
      for index in 2..<max(need, 2) { length = length << 8 | UInt64(header[index]) }
      rest = length &+ (header[1] & 0x80 != 0 ? 4 : 0)
      isClose = header[0] & 0x0f == 8
      if rest == 0, isClose { isClosed = true }
      have = 0
      need = 2
    }
  }
}
