internal import Domain
internal import Glibc
internal import HTTPModel
internal import HTTPTransport
internal import Reactor
internal import Synchronization
internal import Telemetry
internal import Wire

/// Sends finished spans to an OpenTelemetry collector as JSON over HTTP, on a thread of its own.
///
/// What the collector is too slow for is dropped and counted: no request ever waits.
final class SpanExporter: Sendable {
  /// Spans that may wait.
  static let capacity = 16_384
  private static let batch = 512
  private static let attempts = 3

  private let mailbox = Mailbox<[RequestRecord]>()
  private let waiting = Atomic<Int>(0)
  private let threshold: UInt64
  private let thread: Mutex<LoopThread?> = Mutex(nil)
  private let ends = Atomic<Bool>(false)
  let exported = Counter()
  let dropped = Counter()

  init(_ target: SpanTarget, logger: Logger) {
    threshold =
      target.ratio >= 1 ? .max : UInt64(max(target.ratio, 0) * 18_446_744_073_709_549_568)
    let started = LoopThread(name: "otlp") { [self] in
      let loop = EventLoop(bell: mailbox.bell)
      loop.run(Writer(self, target, loop, logger))
    }
    thread.withLock { $0 = started }
  }

  /// Whether a trace that begins here is recorded; `random` is any number.
  func takes(_ random: UInt64) -> Bool { random <= threshold && threshold > 0 }

  /// Hands over spans. Never blocks.
  func export(_ records: [RequestRecord]) {
    let (_, now) = waiting.wrappingAdd(records.count, ordering: .relaxed)
    guard now <= Self.capacity else {
      waiting.wrappingSubtract(records.count, ordering: .relaxed)
      dropped.add(records.count)
      return
    }
    mailbox.post(records)
  }

  /// Sends what is there, once, and ends.
  func finish() {
    ends.store(true, ordering: .sequentiallyConsistent)
    mailbox.bell.ring()
    thread.withLock { $0 }?.join()
  }

  private final class Writer: LoopOwner {
    let exporter: SpanExporter
    let target: SpanTarget
    let loop: EventLoop
    let logger: Logger
    var failed = false

    init(_ exporter: SpanExporter, _ target: SpanTarget, _ loop: EventLoop, _ logger: Logger) {
      self.exporter = exporter
      self.target = target
      self.loop = loop
      self.logger = logger
    }

    func ready(_ data: UInt64, _ events: ReadyEvents) {}
    func fired(_ data: UInt64) {}
    func batchEnded() {}

    func rung() {
      // Read before the mailbox: what comes after this has a ring of its own.
      let ends = exporter.ends.load(ordering: .sequentiallyConsistent)
      let records = exporter.mailbox.take().flatMap { $0 }
      var at = 0
      while at < records.count {
        let part = records[at..<min(at + SpanExporter.batch, records.count)]
        send(part)
        exporter.waiting.wrappingSubtract(part.count, ordering: .relaxed)
        at += part.count
      }
      if ends { loop.stop() }
    }

    /// Ends early when the exporter does.
    private func pause(milliseconds: Int) {
      for _ in 0..<(milliseconds / 50) where !exporter.ends.load(ordering: .sequentiallyConsistent) {
        usleep(50_000)
      }
    }

    private func send(_ records: ArraySlice<RequestRecord>) {
      let body = SpanExporter.body(records, version: target.version)
      var reason = ""
      for attempt in 0..<SpanExporter.attempts {
        let ends = exporter.ends.load(ordering: .sequentiallyConsistent)
        if attempt > 0 {
          if ends { break }
          // The collector restarts, or has too much to do.
          pause(milliseconds: 250 << attempt)
        }
        let client = HTTPClient(
          host: target.host, port: target.port, connectTimeout: .seconds(ends ? 1 : 3),
          timeout: .seconds(ends ? 1 : 5))
        do throws(HTTPClientError) {
          let answer = try client.send(
            HTTPRequest(
              method: "POST", target: target.path,
              headers: [(name: "content-type", value: "application/json")],
              body: body))
          if (200..<300).contains(answer.status) {
            exporter.exported.add(records.count)
            failed = false
            return
          }
          reason = "HTTP \(answer.status)"
          guard answer.status == 429 || answer.status >= 500 else { break }
        } catch { reason = error.message }
      }
      exporter.dropped.add(records.count)
      if !failed {
        logger.error(
          "spans can't be exported", ["collector": .text(target.text), "error": .text(reason)])
      }
      failed = true
    }
  }

  // MARK: OTLP

  /// `ExportTraceServiceRequest` in the JSON form of OTLP.
  static func body(_ records: some Collection<RequestRecord>, version: String) -> [UInt8] {
    var writer = JSONWriter()
    writer.beginObject()
    writer.key("resourceSpans")
    writer.beginArray()
    writer.beginObject()
    writer.key("resource")
    writer.beginObject()
    writer.key("attributes")
    writer.beginArray()
    writer.attribute("service.name", "roost")
    writer.attribute("service.version", version)
    writer.endArray()
    writer.endObject()
    writer.key("scopeSpans")
    writer.beginArray()
    writer.beginObject()
    writer.key("scope")
    writer.beginObject()
    writer.member("name", "roost.gateway")
    writer.endObject()
    writer.key("spans")
    writer.beginArray()
    for record in records { write(record, &writer) }
    writer.endArray()
    writer.endObject()
    writer.endArray()
    writer.endObject()
    writer.endArray()
    writer.endObject()
    return writer.bytes
  }

  private static func write(_ record: RequestRecord, _ writer: inout JSONWriter) {
    writer.beginObject()
    writer.member("traceId", record.trace.traceText)
    writer.member("spanId", record.trace.spanText)
    if let parent = record.trace.parentText { writer.member("parentSpanId", parent) }
    writer.member("name", record.route.word ?? "refused")
    // SPAN_KIND_SERVER
    writer.member("kind", 2)
    writer.member("startTimeUnixNano", String(record.arrivedAt * 1000))
    writer.member("endTimeUnixNano", String(record.endedAt * 1000))
    writer.key("attributes")
    writer.beginArray()
    writer.attribute("roost.request.id", record.identifierText)
    writer.attribute("http.response.status_code", Int(record.status))
    writer.attribute("http.request.body.size", record.requestBytes)
    writer.attribute("http.response.body.size", record.responseBytes)
    if record.hasNode { writer.attribute("roost.node.id", record.node.text) }
    if record.hasInstance { writer.attribute("roost.instance.id", record.instance.text) }
    writer.attribute("roost.queue_us", record.queued)
    writer.attribute("roost.upstream_us", record.upstream)
    writer.attribute("roost.retries", Int(record.retries))
    writer.endArray()
    writer.key("status")
    writer.beginObject()
    // STATUS_CODE_ERROR is for what is the server's fault, as the conventions for HTTP have it.
    if record.status >= 500 { writer.member("code", 2) }
    writer.endObject()
    writer.endObject()
  }
}

extension JSONWriter {
  fileprivate mutating func attribute(_ key: String, _ value: String) {
    attribute(key) { $0.member("stringValue", value) }
  }

  /// 64-bit integers are texts in the JSON of protocol buffers.
  fileprivate mutating func attribute(_ key: String, _ value: Int) {
    attribute(key) { $0.member("intValue", String(value)) }
  }

  private mutating func attribute(_ key: String, _ write: (inout JSONWriter) -> Void) {
    beginObject()
    member("key", key)
    self.key("value")
    beginObject()
    write(&self)
    endObject()
    endObject()
  }
}
