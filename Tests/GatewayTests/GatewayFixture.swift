import Access
import CLinux
import Domain
import Gateway
import Glibc
import HTTPModel
import HTTPTransport
import Reactor
import Synchronization
import Telemetry
import Testing
import Wire

/// Tokens are `subject:seconds-of-expiry:id`.
struct PlainVerifier: TokenVerifier {
  let checks = Counter()

  func verify(_ token: [UInt8], at now: Timestamp) throws(PlatformError) -> Principal {
    checks.add()
    let parts = String(decoding: token, as: UTF8.self).split(separator: ":").map(String.init)
    guard parts.count == 3, let seconds = Int64(parts[1]) else {
      throw PlatformError(.unauthenticated, "the token is malformed", origin: .caller)
    }
    let expiry = Timestamp(seconds: seconds)
    guard expiry > now else { throw PlatformError(.unauthenticated, "the token expired", origin: .caller) }
    return Principal(subject: parts[0], tokenID: parts[2], expiresAt: expiry)
  }

  /// Sessions are `session:subject:seconds-of-expiry:id:node`.
  func verifySession(_ session: [UInt8], at now: Timestamp) throws(PlatformError) -> Principal {
    let parts = String(decoding: session, as: UTF8.self).split(separator: ":").map(String.init)
    guard parts.count == 5, parts[0] == "session", let seconds = Int64(parts[2]) else {
      throw PlatformError(.unauthenticated, "the session is malformed", origin: .caller)
    }
    return Principal(
      subject: parts[1], tokenID: parts[3], expiresAt: Timestamp(seconds: seconds), mayOnlyCall: true,
      node: parts[4])
  }
}

/// Echoes, or waits to be cancelled.
struct EchoResponder: HTTPResponder {
  let cancelled = Counter()
  let waiting = Gauge()
  let large = Counter()

  func respond(to request: HTTPRequest) async -> HTTPResponse {
    if request.target.hasPrefix("/large"),
      let count = request.target.split(separator: "=").last.flatMap({ Int($0) })
    {
      large.add()
      return HTTPResponse(
        status: 200, body: Array(request.target.utf8) + [UInt8](repeating: 46, count: count))
    }
    if request.target == "/wait" {
      waiting.add(1)
      try? await Task.sleep(for: .seconds(60))
      if Task.isCancelled { cancelled.add() }
    }
    return HTTPResponse(
      status: 200, headers: [("content-type", "text/plain")],
      body: Array("\(request.method) \(request.target) \(request.body.count) \(request.peer.isEmpty)".utf8))
  }
}

/// A running gateway with one node, stopped by `stop`.
final class GatewayFixture: Sendable {
  static let folder = FolderID("fld0000000000000001a") ?? .random()
  static let other = FolderID("fld0000000000000002b") ?? .random()
  static let good = "alice:4000000000:tok1"

  let server: GatewayServer
  let verifier = PlainVerifier()
  let responder = EchoResponder()
  let metrics = MetricsRegistry()
  let node = NodeID.random()
  let folderPath: String
  private let seen: SharedObservations

  final class SharedObservations: Sendable {
    let all = Mutex<[GatewayObservation]>([])
  }

  init(
    loops: Int = 1, requestLimit: Int = 16 << 20, responseLimit: Int = 16 << 20, log: Bool = false,
    logLimits: LogLimits = LogLimits(), writeIdleSeconds: Int = 30,
    heldBytes: Int = 1 << 30, leastHeldBytes: Int = 64 << 20, openFiles: OpenFileShares = .unbounded,
    spans: SpanTarget? = nil,
    listeners: [GatewayConfiguration.Listener] = [.init(.tcp(host: "127.0.0.1", port: 0))],
    trustedProxies: NetworkPeers = NetworkPeers(), zone: String = "",
    onObservation: @escaping @Sendable () -> Void = {}
  ) throws {
    var template = Array("/tmp/roost-gateway-XXXXXX".utf8CString)
    folderPath = template.withUnsafeMutableBufferPointer { buffer in
      buffer.baseAddress.flatMap { mkdtemp($0) }.map { String(cString: $0) } ?? ""
    }
    let seen = SharedObservations()
    self.seen = seen
    server = GatewayServer(
      configuration: GatewayConfiguration(
        listeners: listeners, trustedProxies: trustedProxies, zone: zone, loops: loops,
        requestLimit: requestLimit,
        responseLimit: responseLimit,
        accessLogFolder: log ? folderPath : nil, logLimits: logLimits,
        writeIdleSeconds: writeIdleSeconds, heldBytes: heldBytes, leastHeldBytes: leastHeldBytes,
        openFiles: openFiles, spans: spans),
      verifier: verifier, responder: responder,
      observe: { observation in
        seen.all.withLock { $0.append(observation) }
        onObservation()
      }, logger: Logger(label: "gateway-test", level: .error), metrics: metrics)
    try server.start()
  }

  var observed: [GatewayObservation] { seen.all.withLock { $0 } }

  func peer(_ name: String, _ behave: @escaping @Sendable (WorkerPeer.Seen) -> WorkerPeer.Behaviour) throws
    -> WorkerPeer
  {
    try WorkerPeer(path: "\(folderPath)/\(name).sock", behave)
  }

  /// Publishes a table with the one node.
  func publish(
    _ peers: [WorkerPeer], generation: UInt64 = 1, timeout: UInt32 = 15000, queueLimit: Int = 1000,
    queueAge: UInt32 = 15000, limit: Int = 1, refusal: String? = nil, revoked: [String] = [],
    rateLimit: RateLimit? = nil, callerRateLimit: RateLimit? = nil
  ) {
    publish(
      at: peers.map(\.path), generation: generation, timeout: timeout, queueLimit: queueLimit,
      queueAge: queueAge,
      limit: limit, refusal: refusal, revoked: revoked, rateLimit: rateLimit, callerRateLimit: callerRateLimit
    )
  }

  /// With instances at these sockets.
  func publish(
    at paths: [String], generation: UInt64 = 1, timeout: UInt32 = 15000, queueLimit: Int = 1000,
    queueAge: UInt32 = 15000, limit: Int = 1, refusal: String? = nil, revoked: [String] = [],
    rateLimit: RateLimit? = nil, callerRateLimit: RateLimit? = nil, pid: Int32 = 0, outputs: [Variable] = []
  ) {
    let instances = paths.enumerated().map { index, path in
      RoutedInstance(
        id: InstanceID("ins0000000000000000\(index)") ?? .random(),
        endpoint: Endpoint(address: "unix:\(path)", wireProtocol: .frames), pid: pid,
        limit: limit)
    }
    let routed = RoutedNode(
      id: node, name: "n", release: 1, folderID: Self.folder, acl: [Self.folder], refusal: refusal,
      timeoutMilliseconds: timeout, queueLimit: queueLimit, queueAgeMilliseconds: queueAge,
      rateLimit: rateLimit, callerRateLimit: callerRateLimit, instances: instances, outputs: outputs)
    server.publish(
      RoutingTable(
        generation: generation, nodes: [routed],
        grants: ["alice", "carol"].map { RoutedGrant(subject: $0, folderID: Self.folder) },
        revokedTokens: revoked))
  }

  /// One execute call on a thread of its own.
  func execute(
    input: String = "{\"a\":1}", body: String? = nil, token: String? = good, node: String? = nil,
    headers: [(String, String)] = []
  ) async throws -> HTTPResponse {
    let text = body ?? "{\"folder_id\":\"\(Self.folder)\",\"input\":\(input)}"
    var all = headers.map { (name: $0.0, value: $0.1) }
    if let token { all.append((name: "authorization", value: "Bearer \(token)")) }
    return try await send(
      HTTPRequest(
        method: "POST", target: "/datasphere/v1/nodes/\(node ?? self.node.text):execute", headers: all,
        body: Array(text.utf8)))
  }

  func send(_ request: HTTPRequest) async throws -> HTTPResponse {
    let port = server.port
    return try await withCheckedThrowingContinuation { continuation in
      let thread = LoopThread(name: "client") {
        do throws(HTTPClientError) {
          continuation.resume(
            returning: try HTTPClient(host: "127.0.0.1", port: port, timeout: .seconds(30)).send(request))
        } catch { continuation.resume(throwing: error) }
      }
      thread?.detach()
      if thread == nil { continuation.resume(throwing: CancellationError()) }
    }
  }

  /// A connected socket of its own, for what a client would not send.
  func dial() -> RawClient { RawClient(port: server.port) }

  func stop(_ peers: WorkerPeer...) async {
    await server.drain(grace: .milliseconds(200))
    for peer in peers { peer.stop() }
    unlink(folderPath + "/access.jsonl")
    rmdir(folderPath)
  }
}

/// Bytes in, bytes out.
final class RawClient {
  private var descriptor: Int32

  init(port: UInt16) {
    descriptor = roost_dial("127.0.0.1", port, 2000)
    _ = roost_set_timeout(descriptor, 30000)
  }

  deinit { close() }

  func close() {
    if descriptor >= 0 { _ = Glibc.close(descriptor) }
    descriptor = -1
  }

  func write(_ text: String) { write(Array(text.utf8)) }

  func write(_ bytes: [UInt8]) {
    _ = bytes.withUnsafeBytes { roost_send(descriptor, $0.baseAddress, $0.count) }
  }

  /// All of it, however long the other side takes; nothing more once that has gone.
  func writeAll(_ bytes: [UInt8]) {
    bytes.withUnsafeBytes { bytes in
      var at = 0
      while at < bytes.count {
        let sent = Glibc.send(
          descriptor, bytes.baseAddress?.advanced(by: at), bytes.count - at, Int32(MSG_NOSIGNAL))
        guard sent > 0 else { return }
        at += sent
      }
    }
  }

  /// Reads until the text holds `marker` so many times or the stream ends.
  func read(until marker: String? = nil, times: Int = 1) -> String {
    String(decoding: readBytes(until: marker, times: times), as: UTF8.self)
  }

  func readBytes(until marker: String? = nil, times: Int = 1) -> [UInt8] {
    var all: [UInt8] = []
    var part = [UInt8](repeating: 0, count: 65536)
    while true {
      if let marker, String(decoding: all, as: UTF8.self).ranges(of: marker).count >= times { break }
      let received = part.withUnsafeMutableBytes { roost_recv(descriptor, $0.baseAddress, $0.count) }
      guard received > 0 else { break }
      all += part[0..<received]
    }
    return all
  }
}

/// Waits until a level is reached, at most a minute: machines may be busy.
func eventually(_ condition: () -> Bool, sourceLocation: SourceLocation = #_sourceLocation) async {
  let end = ContinuousClock.now + .seconds(60)
  while ContinuousClock.now < end {
    if condition() { return }
    try? await Task.sleep(for: .milliseconds(2))
  }
  Issue.record("the condition was not reached in time", sourceLocation: sourceLocation)
}

extension HTTPResponse {
  var text: String { String(decoding: body, as: UTF8.self) }
  func header(_ name: String) -> String? { headers.first { $0.name == name }?.value }
}

extension GatewayFixture {
  /// Whether nobody listens any more.
  var dialFails: Bool {
    let descriptor = roost_dial("127.0.0.1", server.port, 200)
    if descriptor >= 0 { _ = Glibc.close(descriptor) }
    return descriptor < 0
  }
}
