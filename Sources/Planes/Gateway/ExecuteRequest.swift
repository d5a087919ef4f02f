internal import Contract
internal import Domain
internal import HTTPTransport
internal import Reactor
internal import Wire

/// One execute request on its way. Lives in its loop's slab and is used again.
final class ExecuteRequest {
  enum State: UInt8 {
    case free
    /// Waits for an instance; its input is its own copy.
    case queued
    /// With an instance.
    case sent
    /// Answered or given up, but the instance has not answered yet: its place is still taken.
    case orphaned
  }

  /// How it came and is answered.
  enum Form: UInt8 {
    case rest
    /// `NodeService/Execute`
    case structure
    /// The node's own service.
    case typed
    /// The Open Inference Protocol over HTTP, and over gRPC.
    case inference, inferenceCall
  }

  let slot: Int
  var serial: UInt32 = 1
  var state = State.free
  var form = Form.rest
  /// What a request of the Open Inference Protocol asked for.
  var inference: InferenceCall?
  var connection: UInt64 = 0
  var node: LoopNode?
  /// The alias through which it came.
  var choice: AliasChoice?
  /// Who else learns of the answer.
  var witness: AnswerWitness?
  var link: InstanceLink?
  var arrived: Int64 = 0
  var dispatched: Int64 = 0
  var deadline: Int64 = 0
  /// Whether the caller's `grpc-timeout` set the deadline, not the node.
  var callerSetDeadline = false
  var ticket: UInt64 = 0
  var timer = TimerWheel.Token.none
  var identifier: InlineArray<64, UInt8> = .init(repeating: 0)
  var identifierCount = 0
  var trace = TraceContext()
  var peer: NetworkAddress?
  /// What counts a call of gRPC; nil: a request over REST.
  var path: PathCounters?
  /// The same for the alias.
  var aliasPath: PathCounters?
  /// How often it was given to an instance.
  var attempts = 0
  let input = ByteQueue()
  var inputCount = 0
  /// `JSONSlicer.isPlain`
  var isPlain = false
  /// Where its frame begins in all that was ever written to the instance.
  var frameStart = 0
  var reportedHung = false
  /// The caller says (`idempotency-key`) that it may run more than once; then its input is kept until it is answered.
  var isRepeatable = false

  init(slot: Int) { self.slot = slot }

  /// Names this use of the slot; also the tag of its frames.
  var tag: UInt64 { UInt64(serial & 0xff_ffff) << 32 | UInt64(slot) }

  /// Bytes of the id as the worker gets it: with the trace behind it, where the caller named one or it is recorded.
  var namedCount: Int {
    trace.isPassedOn ? identifierCount + 1 + TraceContext.byteCount : identifierCount
  }

  var identifierText: String {
    var bytes: [UInt8] = []
    for index in 0..<identifierCount { bytes.append(identifier[index]) }
    return String(decoding: bytes, as: UTF8.self)
  }
}

/// A node as one loop sees it.
final class LoopNode {
  var entry: LoopTable.Node
  var links: [InstanceLink] = []
  /// Tags of waiting requests, oldest first, from `front` on; those answered meanwhile are stepped over.
  var waiting: [UInt64] = []
  var front = 0
  var hasRetryTimer = false
  var slot = 0
  /// Folders that a request may name.
  var folders: [NodeKey] = []
  /// Instances with `http1` and `http2` endpoints.
  var targets: [ProxyTarget] = []
  /// The same instances where gRPC is spoken, when that is another port; else empty.
  var callTargets: [ProxyTarget] = []
  /// What instances speak that requests of this kind go to is HTTP/2.
  func speaksHTTP2(calls: Bool) -> Bool {
    (calls && !callTargets.isEmpty ? callTargets : targets).first?.upstream.isHTTP2 ?? false
  }
  var plan = ProxyPlan()
  var retries = RetryBudget()
  let key: NodeKey?
  var pathCache = PathCache()

  init(_ entry: LoopTable.Node) {
    self.entry = entry
    key = NodeKey(entry.routed.id.text)
  }

  var shared: SharedNode { entry.shared }
}

/// One loop's connection to one instance, made when it is first needed.
final class InstanceLink {
  let shared: SharedInstance
  let slot: Int
  let instanceKey: NodeKey?
  /// Counts uses of the socket, so that an event of an earlier one is not taken for the present one's.
  var generation: UInt32 = 0
  var descriptor: Int32 = -1
  let input = ByteQueue()
  let output = ByteQueue()
  /// Bytes ever given to the socket.
  var sent = 0
  /// Payload bytes of an answer over the limit that are still to be thrown away.
  var skipping = 0
  /// Tags of requests that the instance has not answered, in the order sent.
  var pending: [UInt64] = []
  var isDirty = false
  var watchesWrite = false
  /// Left the table: closes when nothing is pending.
  var isRetired = false

  init(_ shared: SharedInstance, slot: Int) {
    self.shared = shared
    self.slot = slot
    instanceKey = NodeKey(shared.routed.id.text)
  }

  var key: UInt64 { UInt64(generation & 0xff_ffff) << 32 | UInt64(slot) }
}
