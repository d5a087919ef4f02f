import Access
import Domain
import Glibc
import HTTPModel
import HTTPTransport
import Synchronization
import Telemetry
import TestSupport
import Testing
import Wire

@testable import Gateway

/// Keeps the bodies that a collector of spans is sent.
private final class Collector: HTTPResponder {
  let bodies = Mutex<[JSONValue]>([])
  let status: Int

  init(status: Int = 200) { self.status = status }

  func respond(to request: HTTPRequest) async -> HTTPResponse {
    if request.target == "/v1/traces", let value = try? JSONValue(parsing: request.body) {
      bodies.withLock { $0.append(value) }
    }
    return HTTPResponse(status: status, body: Array("{}".utf8))
  }

  var spans: [JSONValue] {
    bodies.withLock { $0 }.flatMap { body in
      body["resourceSpans"]?.arrayValue?.first?["scopeSpans"]?.arrayValue?.first?["spans"]?.arrayValue ?? []
    }
  }
}

@Suite(.ownThread, .timeLimit(.minutes(5))) struct ObservingTests {
  private let trace = "0af7651916cd43dd8448eb211c80319c"
  private func metric(_ gateway: GatewayFixture, _ name: String) -> String {
    let text = String(decoding: gateway.metrics.text(), as: UTF8.self)
    let line = text.split(separator: "\n").first { $0.hasPrefix(name + "{") || $0.hasPrefix(name + " ") }
    return line.flatMap { $0.split(separator: " ").last }.map(String.init) ?? ""
  }

  private func lines(_ path: String) throws -> [String] {
    let file = try #require(fopen(path, "r"))
    defer { fclose(file) }
    var text: [UInt8] = []
    while case let byte = fgetc(file), byte != EOF { text.append(UInt8(truncatingIfNeeded: byte)) }
    return String(decoding: text, as: UTF8.self).split(separator: "\n").map(String.init)
  }

  private func parent(_ flags: String = "01") -> (String, String) {
    ("traceparent", "00-\(trace)-b7ad6b7169203331-\(flags)")
  }

  @Test func `the trace of the caller goes to the worker, into the log and into error answers`() async throws
  {
    let gateway = try GatewayFixture(log: true)
    let peer = try gateway.peer("w") {
      $0.input.contains("bad") ? .error("{\"kind\":\"cell\"}") : .output("{}")
    }
    gateway.publish([peer])
    let good = try await gateway.execute(headers: [parent(), ("x-request-id", "r1")])
    #expect(good.status == 200 && good.header("traceresponse") == nil)
    let bad = try await gateway.execute(input: "{\"bad\":1}", headers: [parent(), ("x-request-id", "r2")])
    let refused = try await gateway.execute(token: "x", headers: [parent(), ("x-request-id", "r3")])
    let names = peer.executed.map(\.requestID)
    #expect(names.count == 2 && names[0].hasPrefix("r1 00-\(trace)-") && names[0].hasSuffix("-01"))
    #expect(!names[0].contains("b7ad6b7169203331"), "the worker's parent is our span")
    for answer in [bad, refused] {
      #expect(answer.header("traceresponse")?.hasPrefix("00-\(trace)-") == true)
    }
    #expect(names[1] == "r2 " + (bad.header("traceresponse") ?? ""))
    await gateway.server.drain(grace: .milliseconds(100))
    let log = try lines(gateway.folderPath + "/access.jsonl")
    #expect(log.count == 3)
    for line in log { #expect(line.contains("\"trace_id\":\"\(trace)\"") && line.hasSuffix("}")) }
    #expect(log.first?.contains("\"instance\":\"ins00000000000000000") == true)
    await gateway.stop(peer)
  }

  @Test func `the access log is put aside when it has grown, in whole lines, and the oldest go`() async throws
  {
    let gateway = try GatewayFixture(log: true, logLimits: LogLimits(fileBytes: 4096, files: 2))
    let peer = try gateway.peer("w") { _ in .output("{}") }
    gateway.publish([peer])
    let folder = gateway.folderPath
    func exists(_ number: Int) -> Bool { Glibc.access(folder + "/access.\(number).jsonl", F_OK) == 0 }
    // Lines are handed over once a second.
    for round in 0..<4 {
      for index in round * 25..<round * 25 + 25 {
        let answer = try await gateway.execute(headers: [("x-request-id", "r\(index)")])
        #expect(answer.status == 200)
      }
      let deadline = ContinuousClock.now + .seconds(20)
      while !exists(round + 1), ContinuousClock.now < deadline {
        try await Task.sleep(for: .milliseconds(20))
      }
    }
    _ = try await gateway.execute(headers: [("x-request-id", "r100")])
    await gateway.server.drain(grace: .milliseconds(100))
    let numbers = (1...40).filter(exists)
    #expect(numbers.count == 2 && numbers.last == numbers.first.map { $0 + 1 }, "\(numbers)")
    let files = numbers.map { "access.\($0).jsonl" } + ["access.jsonl"]
    let all = try files.flatMap { try lines(gateway.folderPath + "/" + $0) }
    #expect(all.last?.contains("\"r100\"") == true)
    let ids = (101 - all.count..<101).map { "\"r\($0)\"" }
    #expect(zip(all, ids).allSatisfy { $0.contains($1) && $0.hasPrefix("{") && $0.hasSuffix("}") })
    await gateway.stop(peer)
  }

  @Test func `a request without a trace costs the worker nothing`() async throws {
    let gateway = try GatewayFixture()
    let peer = try gateway.peer("w") { _ in .output("{}") }
    gateway.publish([peer])
    _ = try await gateway.execute(headers: [("x-request-id", "r1")])
    _ = try await gateway.execute(headers: [("x-request-id", "r2"), ("traceparent", "nonsense")])
    _ = try await gateway.execute(headers: [("x-request-id", "r3"), parent(), parent()])
    #expect(peer.executed.map(\.requestID) == ["r1", "r2", "r3"])
    let found = try #require(gateway.server.explain("r3"))
    #expect(found.traceId != trace && found.traceId.count == 32)
    await gateway.stop(peer)
  }

  @Test(arguments: [1, 2]) func `a recent request is explained, whichever loop had it`(loops: Int)
    async throws
  {
    let gateway = try GatewayFixture(loops: loops)
    let peer = try gateway.peer("w") { _ in .output("{\"a\":1}", microseconds: 10) }
    gateway.publish([peer])
    for index in 0..<8 {
      let answer = try await gateway.execute(headers: [parent("00"), ("x-request-id", "r\(index)")])
      #expect(answer.status == 200)
    }
    let found = try #require(gateway.server.explain("r5"))
    #expect(found.nodeId == gateway.node && found.instanceId?.text == "ins00000000000000000")
    #expect(found.status == 200 && found.route == "execute" && found.retries == 0)
    #expect(found.traceId == trace && found.requestBytes == 7 && found.responseBytes == 7)
    #expect(found.durationSeconds > 0 && found.queueSeconds <= found.durationSeconds)
    #expect(abs(found.queueSeconds + found.upstreamSeconds - found.durationSeconds) < 1e-9)
    #expect(gateway.server.explain("r9") == nil && gateway.server.explain("") == nil)
    _ = try await gateway.execute(token: nil, headers: [("x-request-id", "r5")])
    let refused = try #require(gateway.server.explain("r5"))
    #expect(refused.status == 401 && refused.nodeId == nil && refused.route == nil)
    await gateway.stop(peer)
  }

  @Test func `time in the queue is seen`() async throws {
    let gateway = try GatewayFixture()
    gateway.publish([])
    async let waiting = gateway.execute(headers: [("x-request-id", "r1")])
    await eventually { metric(gateway, "roost_gateway_queue_length") == "1" }
    let seen = ContinuousClock.now
    let peer = try gateway.peer("w") { _ in .output("{}") }
    let waited = ContinuousClock.now - seen
    gateway.publish([peer], generation: 2)
    #expect(try await waiting.status == 200)
    let found = try #require(gateway.server.explain("r1"))
    #expect(.seconds(found.queueSeconds + 1e-6) >= waited && found.upstreamSeconds < found.durationSeconds)
    await gateway.stop(peer)
  }

  @Test func `the oldest request is forgotten`() {
    let journal = RequestJournal()
    func record(_ number: Int) -> RequestRecord {
      var record = RequestRecord()
      for (index, byte) in "id\(number)".utf8.enumerated() { record.identifier[index] = byte }
      record.identifierCount = UInt8("id\(number)".utf8.count)
      record.requestBytes = number
      return record
    }
    #expect(journal.find("id0") == nil)
    for number in 0...RequestJournal.capacity { journal.note(record(number)) }
    #expect(journal.find("id0") == nil)
    #expect(journal.find("id1")?.requestBytes == 1)
    #expect(journal.find("id\(RequestJournal.capacity)")?.requestBytes == RequestJournal.capacity)
  }

  @Test func `spans go to a collector in the form of OTLP`() async throws {
    let collector = Collector()
    let sink = GatewayServer(
      configuration: GatewayConfiguration(loops: 1), verifier: PlainVerifier(), responder: collector,
      observe: { _ in }, logger: Logger(label: "collector", level: .error), metrics: MetricsRegistry())
    try sink.start()
    let target = try SpanTarget("http://127.0.0.1:\(sink.port)", version: "1")
    let gateway = try GatewayFixture(spans: target)
    let peer = try gateway.peer("w") { _ in .output("{}") }
    gateway.publish([peer])
    _ = try await gateway.execute(headers: [parent(), ("x-request-id", "r1")])
    _ = try await gateway.execute(headers: [parent("00"), ("x-request-id", "r2")])
    _ = try await gateway.execute(headers: [("x-request-id", "r3")])
    // A gateway that stops gives the collector one second only.
    await eventually { metric(gateway, "roost_gateway_exported_spans_total") == "2" }
    await gateway.stop(peer)
    let spans = collector.spans
    #expect(spans.count == 2, "a caller that records nothing is left out")
    let span = try #require(spans.first)
    #expect(span["traceId"] == .string(trace) && span["parentSpanId"] == "b7ad6b7169203331")
    #expect(span["name"] == "execute" && span["kind"] == .integer(2))
    #expect(peer.executed[0].requestID.contains(span["spanId"]?.stringValue ?? "none"))
    #expect(metric(gateway, "roost_gateway_exported_spans_total") == "2")
    await sink.drain(grace: .milliseconds(100))
  }

  @Test func `without a collector requests are answered and the lost spans are counted`() async throws {
    let port = TestProcess.closedPort()
    let gateway = try GatewayFixture(spans: try SpanTarget("http://127.0.0.1:\(port)", version: "1"))
    let peer = try gateway.peer("w") { _ in .output("{}") }
    gateway.publish([peer])
    for _ in 0..<5 { #expect(try await gateway.execute().status == 200) }
    await gateway.stop(peer)
    #expect(metric(gateway, "roost_gateway_dropped_spans_total") == "5")
  }

  @Test func `the queue of spans has an end`() throws {
    let port = TestProcess.closedPort()
    let exporter = SpanExporter(
      try SpanTarget("http://127.0.0.1:\(port)", version: "1"), logger: Logger(label: "t", level: .error))
    let records = [RequestRecord](repeating: RequestRecord(), count: 1000)
    for _ in 0..<40 { exporter.export(records) }
    #expect(exporter.dropped.current >= 40_000 - SpanExporter.capacity - 1000)
    exporter.finish()
    #expect(exporter.dropped.current == 40_000)
  }

  @Test(
    arguments: [
      ("http://127.0.0.1:4318", "127.0.0.1", 4318, "/v1/traces"), ("http://h", "h", 4318, "/v1/traces"),
      ("http://h:1/", "h", 1, "/v1/traces"), ("http://[::1]:5/x/y", "::1", 5, "/x/y"),
    ] as [(String, String, UInt16, String)])
  func `the address of a collector is read`(url: String, host: String, port: UInt16, path: String) throws {
    let target = try SpanTarget(url, version: "1")
    #expect(target.host == host && target.port == port && target.path == path)
  }

  @Test(arguments: ["", "https://h", "h:4318", "http://", "http://h:0", "http://h:x", "http://h/a b"])
  func `an address that can't be used is refused`(url: String) throws {
    let error = try #require(throws: PlatformError.self) { try SpanTarget(url, version: "1") }
    #expect(error.message.contains("--otlp-endpoint"))
  }

  @Test func `metrics have the names and labels of the compatible system`() async throws {
    let gateway = try GatewayFixture()
    let peer = try gateway.peer("w") { _ in .output("{}") }
    gateway.publish([peer])
    _ = try await gateway.execute()
    _ = try await gateway.execute(body: "x")
    let path = "/datasphere/v1/nodes/\(gateway.node):execute"
    let labels = "node_id=\"\(gateway.node)\",node_path=\"\(path)\""
    let text = String(decoding: gateway.metrics.text(), as: UTF8.self)
    #expect(text.contains("\nnode_requests{\(labels)} 2\n"))
    #expect(text.contains("\nnode_http_codes{\(labels),code=\"200\"} 1\n"))
    #expect(text.contains("\nnode_http_codes{\(labels),code=\"400\"} 1\n"))
    #expect(text.contains("\nnode_request_durations_bucket{\(labels),le=\"0.0001\"}"))
    #expect(text.contains("\nnode_requests_durations_bucket{\(labels),le=\"0.1\"}"))
    #expect(text.contains("\nnode_requests_durations_count{\(labels)} 2\n"))
    #expect(text.contains("\nnode_request_duration_seconds_count{node=\"\(gateway.node)\"} 2\n"))
    await gateway.stop(peer)
  }

  @Test func `each loop tells how long it ran, and how long it was ready to`() async throws {
    let gateway = try GatewayFixture(loops: 2)
    func seconds(_ what: String, _ loop: Int) -> Double? {
      let start = "roost_gateway_loop_\(what)_seconds_total{loop=\"\(loop)\"} "
      let text = String(decoding: gateway.metrics.text(), as: UTF8.self)
      return text.split(separator: "\n").first { $0.hasPrefix(start) }.flatMap {
        Double($0.dropFirst(start.count))
      }
    }
    await eventually { (0..<2).allSatisfy { seconds("run", $0) ?? 0 > 0 && seconds("wait", $0) != nil } }
    let before = (0..<2).reduce(0) { $0 + (seconds("run", $1) ?? 0) }
    for _ in 0..<200 { _ = try await gateway.send(HTTPRequest(method: "GET", target: "/datasphere/v2/x")) }
    // Some 50 microseconds each, counted once a second.
    await eventually { (0..<2).reduce(0) { $0 + (seconds("run", $1) ?? 0) } > before + 0.001 }
    await gateway.stop()
  }

  @Test func `callers can't make labels without end`() {
    let paths = NodePaths(execute: "n")
    var cache = PathCache()
    func find(_ text: String) -> String {
      var text = text
      return text.withUTF8 { bytes in
        bytes.baseAddress.map { cache.find($0, bytes.count, in: paths).path } ?? ""
      }
    }
    #expect(find("/a?x=1") == "/a" && find("/a") == "/a" && find("/a?y") == "/a")
    #expect(find("/" + String(repeating: "b", count: 200)) == "other" && find("/é") == "other")
    for number in 0..<100 { _ = find("/p\(number)") }
    #expect(paths.all.count == NodePaths.limit + 2)
    #expect(find("/p99") == "other" && find("/p3") == "/p3")
  }

  @Test func `calls count their gRPC status beside the HTTP one`() {
    let counters = PathCounters(path: "/p")
    counters.answered(grpcStatus: 0)
    counters.answered(grpcStatus: 99)
    #expect(counters.calls.map(\.status) == [0, 2])
  }
}
