import Domain
import Testing

@testable import ControlPlane

@Suite struct RecordingTests {
  private func copy(
    _ request: NodeCall.Content, answer: String = #"{"y":1}"#, status: Int = 200,
    contentType: String = "application/json"
  ) -> CapturedExchange {
    CapturedExchange(
      alias: .random(), node: .random(), requestID: "req1", request: request, status: status,
      contentType: contentType, answer: Array(answer.utf8), microseconds: 1500,
      at: Timestamp(microseconds: 7), forMirror: false, forRecording: true)
  }

  private func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }

  @Test func `a cell's request is kept as callers send it, without what is redacted`() throws {
    let input = #"{"card":{"number":"4711"},"x":1,"password":"p"}"#
    let answer = #"{"y":1,"token":"t"}"#
    var spec = AliasRecordSpec()
    spec.redact = ["input.card", "**.password", "**.token"]
    let captured = copy(.execute(input: Array(input.utf8)), answer: answer)
    let kept = try #require(RecordedExchange(captured, Redactor(spec)))
    #expect(kept.isRedacted)
    #expect(text(kept.answer) == #"{"output":{"y":1,"token":"[redacted]"}}"#)
    guard case .execute(let again) = kept.request(requestID: "r") else {
      Issue.record("it is a cell's")
      return
    }
    #expect(text(again) == #"{"card":{},"x":1,"password":"[redacted]"}"#)
    for secret in ["4711", #""p""#, #""t""#] { #expect(!text(kept.encoded()).contains(secret)) }
    #expect(RecordedExchange(decoding: kept.encoded()) == kept)
  }

  @Test func `a request from which nothing is taken is compared by its values`() throws {
    let captured = copy(.execute(input: Array(#"{"x":1}"#.utf8)))
    let kept = try #require(RecordedExchange(captured, Redactor(AliasRecordSpec())))
    #expect(!kept.isRedacted && kept.compared.microseconds == 1500 && kept.id == "req1")
    #expect(kept.request(requestID: "r") == .execute(input: Array(#"{"x":1}"#.utf8)))
  }

  @Test(arguments: [
    "authorization: Bearer x", "Cookie: a=x", "X-Api-Key: x", "x-session: x", "X-My-Token: x",
    "x-amz-security-token: x", "Proxy-Authorization: x", "x-signature: x", "x-mine: x", "x-user-password: x",
  ]) func `headers with credentials are never kept`(_ line: String) throws {
    var spec = AliasRecordSpec()
    spec.redactHeaders = ["X-Mine"]
    let head = Array("POST /a HTTP/1.1\r\ncontent-type: application/json\r\n\(line)\r\nx-own: 1\r\n".utf8)
    let captured = copy(.proxy(head: head, body: Array("{}".utf8)))
    let kept = try #require(RecordedExchange(captured, Redactor(spec)))
    guard case .proxy(let again, let body) = kept.request(requestID: "r") else {
      Issue.record("it is a server's")
      return
    }
    let name = line.prefix { $0 != ":" }.lowercased()
    #expect(!text(again).lowercased().contains(name + ":"))
    #expect(text(again).contains("x-own: 1") && text(again).contains("x-roost-copy: 1"))
    #expect(text(body) == "{}")
  }

  @Test func `parameters with credentials lose their values, however they are written`() throws {
    let target = "/a?token=s3cret&page=2&pass%77ord=s3cret&flag&api_key=s3cret"
    let head = Array("GET \(target) HTTP/1.1\r\n".utf8)
    let kept = try #require(
      RecordedExchange(copy(.proxy(head: head, body: [])), Redactor(AliasRecordSpec())))
    #expect(!text(kept.encoded()).contains("s3cret") && text(kept.encoded()).contains("page=2"))
    #expect(kept.isRedacted)
  }

  @Test func `a body in which nothing can be redacted is kept on request only`() {
    let head = Array("POST / HTTP/1.1\r\ncontent-type: text/plain\r\n".utf8)
    let captured = copy(.proxy(head: head, body: Array("password=x".utf8)))
    var spec = AliasRecordSpec()
    #expect(RecordedExchange(captured, Redactor(spec)) == nil)
    spec.opaque = true
    #expect(RecordedExchange(captured, Redactor(spec)) != nil)
    let odd = copy(.execute(input: Array("{}".utf8)), answer: "no JSON", contentType: "text/html")
    spec.opaque = false
    #expect(RecordedExchange(odd, Redactor(spec)) == nil)
  }

  @Test func `damaged bytes are no record`() throws {
    let kept = try #require(
      RecordedExchange(copy(.execute(input: Array("{}".utf8))), Redactor(AliasRecordSpec())))
    let bytes = kept.encoded()
    for count in 0..<40 { #expect(RecordedExchange(decoding: Array(bytes.prefix(count))) == nil) }
    #expect(RecordedExchange(decoding: [255, 255, 255, 255] + bytes) == nil)
  }

  @Test func `a head is taken apart and put together`() throws {
    let bytes = Array("GET /a?b HTTP/1.1\r\nHost: x\r\nx-node-alias: prod\r\nAccept-Encoding: gzip\r\n".utf8)
    let head = try #require(RequestHead(bytes))
    #expect(head.bytes == bytes)
    #expect(
      text(head.copy(requestID: "copy-1").bytes)
        == "GET /a?b HTTP/1.1\r\nHost: x\r\nx-request-id: copy-1\r\nx-roost-copy: 1\r\n")
    for wrong in ["", "GET", "GET / HTTP/1.1\r\nno colon\r\n"] {
      #expect(RequestHead(Array(wrong.utf8)) == nil)
    }
  }

  // MARK: Verdicts

  private func report(
    _ verdict: ReplayResource.Verdict = .passed, requests: Int = 10, mismatch: Double = 0,
    ratio: Double = 1, rules: AnswerRules = AnswerRules()
  ) -> ReplayResource {
    ReplayResource(
      id: .random(), alias: "prod", nodeId: .random(), nodeName: "green", release: 1,
      startedAt: Timestamp(microseconds: 0), endedAt: Timestamp(microseconds: 0), verdict: verdict,
      reasons: verdict == .passed ? [] : ["why"], requests: requests, equal: requests, different: 0,
      failed: 0,
      onlyShape: 0, mismatchPercent: mismatch, maxMismatchPercent: 100, maxLatencyRatio: nil,
      latency: LatencyComparison(
        requests: requests, expectedP50Milliseconds: 1, expectedP95Milliseconds: 1, foundP50Milliseconds: 1,
        foundP95Milliseconds: 1, ratioP50: ratio, ratioP95: ratio), rules: rules, worst: [])
  }

  @Test func `the gate takes a replay only that shows what it demands`() {
    let gate = AliasReplayGate(maxMismatchPercent: 1, maxLatencyRatio: 2, minRequests: 5)
    func problem(_ report: ReplayResource?) -> String? { AliasGate.problem(report, gate, AnswerRules()) }
    #expect(problem(report()) == nil)
    #expect(problem(nil)?.contains("none") == true)
    #expect(problem(report(.failed))?.contains("why") == true)
    #expect(problem(report(requests: 4))?.contains("4 requests") == true)
    #expect(problem(report(mismatch: 1.5))?.contains("1.50 %") == true)
    #expect(problem(report(ratio: 2.5))?.contains("2.50 times") == true)
    #expect(problem(report(rules: AnswerRules(ignore: ["**"])))?.contains("other rules") == true)
  }

  @Test func `a tally says why a node does not pass`() {
    var tally = ReplayTally()
    #expect(tally.reasons(maxMismatchPercent: 100, maxLatencyRatio: nil).count == 1)
    for index in 0..<100 {
      var outcome = ReplayOutcome(
        difference: nil, isFailure: index == 0, onlyShape: false, expectedMicroseconds: 1000)
      outcome.foundMicroseconds = 3000
      tally.add(outcome)
    }
    #expect(tally.reasons(maxMismatchPercent: 1, maxLatencyRatio: nil).isEmpty)
    #expect(tally.reasons(maxMismatchPercent: 0.5, maxLatencyRatio: 2.5).count == 2)
    #expect(tally.mismatches == 1 && tally.equal == 99)
  }

  @Test func `answers are compared by status, then by body, then by time`() {
    func answer(
      _ body: String, _ status: Int = 200, type: String = "application/json", time: Int = 1000
    ) -> ComparedAnswer {
      ComparedAnswer(status: status, contentType: type, body: Array(body.utf8), microseconds: time)
    }
    let comparer = AnswerComparer(AnswerRules(tolerance: 0.1, ignore: ["at"]), slower: 2)
    #expect(comparer.compare(answer(#"{"a":1}"#), answer(#"{"a":1.05,"at":2}"#)).count == 0)
    #expect(comparer.compare(answer(#"{"a":1}"#), answer("{}", 500)).places.map(\.kind) == ["status"])
    #expect(comparer.compare(answer("{}", 404), answer(#"{"x":1}"#, 404)).count == 0)
    let text = "text/plain; charset=utf-8"
    #expect(
      comparer.compare(answer("a", type: text), answer("b", type: text)).places.map(\.kind) == ["bytes"])
    #expect(comparer.compare(answer("a", type: text), answer("a")).places.map(\.kind) == ["contentType"])
    #expect(
      comparer.compare(answer("{}", time: 10_000), answer("{}", time: 30_000)).places.map(\.kind) == [
        "slower"
      ])
    #expect(comparer.compare(answer("{}", time: 1000), answer("{}", time: 3000)).count == 0)
  }
}
