internal import Access
internal import Domain
internal import HTTPModel
internal import HTTPTransport
internal import Reactor
internal import Synchronization
internal import TLS
internal import Telemetry

/// What a loop is told by others.
enum LoopMessage: Sendable {
  case table(LoopTable)
  /// The responder's answer for the connection of this key.
  case answer(UInt64, HTTPResponse)
  /// A node may have a free instance for this loop's waiting requests.
  case wake(String)
  /// Certificates for connections that come from now on.
  case tls(TLSContext)
  /// An instance that has left the table is about to be stopped: its streams end.
  case part(InstanceID)
  /// A request of the platform to a node.
  case call(InjectedCall)
  /// Listeners of each loop, to serve beside those it has.
  case listen([[HTTPListener]])
  /// Another process accepts from our sockets.
  case leave
  /// The time of `leave` is over.
  case endStreams
  case drain
  case cancelAll
  case stop
}

/// What all loops of a gateway share.
final class GatewayShared: Sendable {
  let configuration: GatewayConfiguration
  let verifier: any TokenVerifier
  let responder: any HTTPResponder
  let observe: @Sendable (GatewayObservation) -> Void
  let logger: Logger
  let mailboxes: [Mailbox<LoopMessage>]
  let counters: [LoopCounters]
  /// The last requests, by loop.
  let journals: [RequestJournal]
  /// Where spans go; nil: nowhere.
  let spans: SpanExporter?
  /// Room of the copies that are made of requests, and where they go.
  let copies = CopyLedger()
  let captured: @Sendable (CapturedExchange) -> Bool
  private let accessLog = Mutex<AccessLog?>(nil)
  private let table = Mutex<LoopTable?>(nil)
  private let tls = Mutex<TLSContext?>(nil)

  init(
    configuration: GatewayConfiguration, loops: Int, verifier: any TokenVerifier,
    responder: any HTTPResponder,
    observe: @escaping @Sendable (GatewayObservation) -> Void,
    captured: @escaping @Sendable (CapturedExchange) -> Bool, logger: Logger
  ) {
    self.configuration = configuration
    self.verifier = verifier
    self.responder = responder
    self.observe = observe
    self.captured = captured
    self.logger = logger
    mailboxes = (0..<loops).map { _ in Mailbox() }
    counters = (0..<loops).map { _ in LoopCounters() }
    journals = (0..<loops).map { _ in RequestJournal() }
    spans = configuration.spans.map { SpanExporter($0, logger: logger) }
  }

  func post(_ message: LoopMessage) { for mailbox in mailboxes { mailbox.post(message) } }
  func setTable(_ next: LoopTable) { table.withLock { $0 = next } }
  func setTLS(_ context: TLSContext?) { tls.withLock { $0 = context } }
  var currentTLS: TLSContext? { tls.withLock { $0 } }
  var currentTable: LoopTable? { table.withLock { $0 } }
  func setAccessLog(_ log: AccessLog?) { accessLog.withLock { $0 = log } }
  var currentAccessLog: AccessLog? { accessLog.withLock { $0 } }
  func finishAccessLog() { currentAccessLog?.finish() }

  /// Whether every loop has stopped listening and has no connection left.
  var isDrained: Bool { counters.allSatisfy { $0.drains.current > 0 } && openConnections == 0 }
  var openConnections: Int { counters.reduce(0) { $0 + $1.connections.current } }

  /// The gateway's families of `/metrics`.
  func write(_ text: inout PrometheusText) {
    let nodes = table.withLock { $0?.nodes ?? [] }
    func sum(_ path: KeyPath<LoopCounters, Counter>) -> Int {
      counters.reduce(0) { $0 + $1[keyPath: path].current }
    }
    text.family("node_requests_total", .counter, "Execute requests answered, by node.")
    for node in nodes {
      text.sample(
        "node_requests_total", [("node", node.shared.id)], node.shared.answers.reduce(0) { $0 + $1.count })
    }
    text.family("node_http_codes_total", .counter, "Execute requests answered, by node and HTTP status.")
    for node in nodes {
      for answer in node.shared.answers {
        let labels = [("node", node.shared.id), ("code", "\(answer.status)")]
        text.sample("node_http_codes_total", labels, answer.count)
      }
    }
    text.family("node_request_duration_seconds", .histogram, "Time from a request's arrival to its answer.")
    for node in nodes {
      text.histogram(
        "node_request_duration_seconds", [("node", node.shared.id)],
        sumOf: node.shared.paths.all.map(\.durations))
    }
    writeCompatible(nodes, &text)
    writeAliases(table.withLock { $0?.aliases ?? [] }, &text)
    text.family("roost_gateway_queue_length", .gauge, "Requests waiting for an instance.")
    for node in nodes {
      text.sample("roost_gateway_queue_length", [("node", node.shared.id)], node.shared.queueLength)
    }
    text.family("roost_gateway_in_flight_requests", .gauge, "Requests with an instance.")
    for node in nodes {
      text.sample(
        "roost_gateway_in_flight_requests", [("node", node.shared.id)], node.shared.inFlight.current)
    }
    text.family("roost_gateway_open_connections", .gauge, "Client connections open.")
    text.sample("roost_gateway_open_connections", [], openConnections)
    text.family("roost_gateway_accepted_connections_total", .counter, "Client connections accepted.")
    text.sample("roost_gateway_accepted_connections_total", [], sum(\.accepted))
    text.family(
      "roost_gateway_held_body_bytes", .gauge,
      "Bytes of bodies in memory: of requests that arrive or wait, of answers that leave.")
    text.sample(
      "roost_gateway_held_body_bytes", [], counters.reduce(0) { $0 + $1.heldBytes.current })
    text.family(
      "roost_gateway_accept_pauses_total", .counter,
      "How often a listener stopped accepting for want of open files.")
    text.sample("roost_gateway_accept_pauses_total", [], sum(\.acceptPauses))
    text.family(
      "roost_gateway_ended_idle_connections_total", .counter,
      "Idle client connections that ended early to make room for new ones.")
    text.sample("roost_gateway_ended_idle_connections_total", [], sum(\.endedIdle))
    text.family("roost_gateway_http2_connections_total", .counter, "Client connections that spoke HTTP/2.")
    text.sample("roost_gateway_http2_connections_total", [], sum(\.http2Connections))
    text.family("roost_gateway_http2_requests_total", .counter, "Requests that came over HTTP/2.")
    text.sample("roost_gateway_http2_requests_total", [], sum(\.http2Requests))
    text.family(
      "roost_gateway_http2_faults_total", .counter, "HTTP/2 connections ended for a fault of the client.")
    text.sample("roost_gateway_http2_faults_total", [("reason", "protocol")], sum(\.http2Faults))
    text.sample("roost_gateway_http2_faults_total", [("reason", "flood")], sum(\.http2Floods))
    if configuration.listeners.contains(where: { $0.proxySources != nil }) {
      text.family(
        "roost_gateway_proxy_headers_total", .counter, "Connections to listeners of the PROXY protocol.")
      for (result, path) in [
        ("accepted", \LoopCounters.proxyHeaders), ("malformed", \.proxyFaults),
        ("untrusted", \.proxyStrangers),
      ] { text.sample("roost_gateway_proxy_headers_total", [("result", result)], sum(path)) }
    }
    text.family("roost_gateway_refused_requests_total", .counter, "Requests refused before a node was known.")
    text.sample("roost_gateway_refused_requests_total", [], sum(\.refused))
    text.family(
      "roost_gateway_token_checks_total", .counter, "Tokens verified because no verdict was cached.")
    text.sample("roost_gateway_token_checks_total", [], sum(\.tokenChecks))
    text.family("roost_gateway_cancelled_requests_total", .counter, "Requests whose caller went away.")
    text.sample("roost_gateway_cancelled_requests_total", [], sum(\.cancelled))
    writeLoops(&text)
    guard let spans else { return }
    text.family("roost_gateway_exported_spans_total", .counter, "Spans that the collector took.")
    text.sample("roost_gateway_exported_spans_total", [], spans.exported.current)
    text.family(
      "roost_gateway_dropped_spans_total", .counter, "Spans that the collector was too slow for or refused.")
    text.sample("roost_gateway_dropped_spans_total", [], spans.dropped.current)
  }

  /// How busy the loops are, and whether they get their cores.
  private func writeLoops(_ text: inout PrometheusText) {
    let known = counters.enumerated().filter { $1.ran.current > 0 }
    text.family("roost_gateway_loop_run_seconds_total", .counter, "Processor time of an event loop.")
    for (index, loop) in known {
      let seconds = Double(loop.ran.current) / 1e9
      text.sample("roost_gateway_loop_run_seconds_total", [("loop", "\(index)")], seconds)
    }
    text.family(
      "roost_gateway_loop_wait_seconds_total", .counter,
      "Time that it was ready to run and others had its core.")
    for (index, loop) in known {
      let seconds = Double(loop.waited.current) / 1e9
      text.sample("roost_gateway_loop_wait_seconds_total", [("loop", "\(index)")], seconds)
    }
  }
}

/// Counters of one loop.
final class LoopCounters: Sendable {
  let connections = Gauge()
  let accepted = Counter()
  let heldBytes = Gauge()
  let acceptPauses = Counter()
  let endedIdle = Counter()
  let http2Connections = Counter()
  let http2Requests = Counter()
  let http2Faults = Counter()
  let http2Floods = Counter()
  let refused = Counter()
  let proxyHeaders = Counter()
  let proxyFaults = Counter()
  let proxyStrangers = Counter()
  let tokenChecks = Counter()
  let cancelled = Counter()
  /// Nanoseconds that the loop's thread ran, and that it was ready to; looked at once a second.
  let ran = Gauge()
  let waited = Gauge()
  /// Set when the loop listens no more and `connections` counts all that it had accepted.
  let drains = Counter()
  /// The generation of the table that the loop uses.
  let generation = Gauge()
  /// How often the loop was given listeners after its start.
  let listens = Counter()
}
