import Domain
import Planning
import Testing

@Suite struct AddressValidationTests {
  @Test(arguments: [
    ("10.0.0.7:8080", "10.0.0.7:8080"), ("App.Internal:80", "app.internal:80"), ("[::1]:9000", "[::1]:9000"),
    ("unix:/run/App.sock", "unix:/run/App.sock"), ("localhost", "localhost:8000"),
    ("[fe80::2]", "[fe80::2]:8000"),
  ])
  func `an address is a host with a port, or a socket's path`(given: String, wanted: String) throws {
    let result = try AddressValidation.checked([NodeAddress(address: given)], port: 8000)
    #expect(result.map(\.address) == [wanted])
  }

  @Test(arguments: [
    "", ":80", "a:0", "a:65536", "a:b", "a b:80", "http://a:80", "a:80/x", "::1:80", "[::1", "[::1]x:80",
    "[a.b]:80", "unix:run/app.sock", "unix:", "-a:80", "a..b:80", "a:1:2", "a\r\nb:80",
  ])
  func `anything else is refused by the field's name`(given: String) {
    let error = #expect(throws: PlatformError.self) {
      try AddressValidation.checked([NodeAddress(address: "ok:1"), NodeAddress(address: given)], port: nil)
    }
    #expect(error?.field == "addresses[1].address")
  }

  @Test func `no address, too many and the same one twice are refused`() {
    func field(_ addresses: [String]) -> String? {
      let error = #expect(throws: PlatformError.self) {
        try AddressValidation.checked(addresses.map { NodeAddress(address: $0) }, port: nil)
      }
      return error?.field
    }
    #expect(field([]) == "addresses")
    #expect(field((1...101).map { "10.0.0.1:\($0)" }) == "addresses")
    #expect(field(["a:80", "A:80"]) == "addresses[1].address")
  }

  @Test func `what is left out has the documented defaults`() throws {
    let source = try AddressValidation.source(
      addresses: [NodeAddress(address: "a:1")], endpoint: nil, healthCheck: RequestedHealthCheck())
    #expect(source.endpoint == EndpointSettings())
    #expect(source.endpoint.idleTimeoutSeconds == 300)
    let check = try #require(source.healthCheck)
    #expect((check.type, check.path, check.failsThreshold, check.passesThreshold) == ("http", "/", 3, 3))
    #expect((check.timeoutSeconds, check.intervalSeconds) == (1, 15))
  }

  @Test func `knobs out of range name themselves`() {
    func field(_ check: RequestedHealthCheck) -> String? {
      #expect(throws: PlatformError.self) { try AddressValidation.check(check) }?.field
    }
    #expect(field(.init(type: "tcp")) == "healthCheck.type")
    #expect(field(.init(path: "healthz")) == "healthCheck.path")
    #expect(field(.init(path: "/a b")) == "healthCheck.path")
    #expect(field(.init(type: "grpc", path: "/x")) == "healthCheck.path")
    #expect(field(.init(service: "x")) == "healthCheck.service")
    #expect(field(.init(port: 70000)) == "healthCheck.port")
    #expect(field(.init(timeoutSeconds: 0)) == "healthCheck.timeoutSeconds")
    #expect(field(.init(failsThreshold: 0)) == "healthCheck.failsThreshold")
  }
}

@Suite struct ProbeMachineTests {
  private func machine(fails: Int = 3, passes: Int = 2) -> ProbeMachine {
    ProbeMachine(
      ProbePolicy(timeout: .seconds(1), interval: .seconds(15), fails: fails, passes: passes))
  }

  private func feed(_ machine: inout ProbeMachine, _ results: [Bool]) -> [OnProbe] {
    results.map { machine.probed(passed: $0) }
  }

  @Test func `the first probe judges a new instance`() {
    var good = machine()
    #expect(good.probed(passed: true) == .entersRotation)
    var bad = machine()
    #expect(bad.probed(passed: false) == .stays)
    #expect(bad.verdict == .unhealthy(wasHealthy: false))
    #expect(bad.probed(passed: true) == .entersRotation)
  }

  @Test func `a healthy one leaves after its fails in a row, not before`() {
    var machine = machine()
    #expect(
      feed(&machine, [true, false, false, true, false, false, false])
        == [.entersRotation, .stays, .stays, .stays, .stays, .stays, .leavesRotation])
  }

  @Test func `one that left comes back after its passes in a row`() {
    var machine = machine(fails: 1)
    #expect(
      feed(&machine, [true, false, true, false, true, true])
        == [.entersRotation, .leavesRotation, .stays, .stays, .stays, .entersRotation])
  }

  @Test func `an instance that was never healthy is looked at each second, others each interval`() {
    var machine = machine(fails: 1)
    #expect(machine.pause == .zero)
    _ = machine.probed(passed: false)
    #expect(machine.pause == .seconds(1))
    _ = machine.probed(passed: true)
    #expect(machine.pause == .seconds(15))
    _ = machine.probed(passed: false)
    #expect(machine.pause == .seconds(15))
  }

  @Test func `the port of a health check replaces that of the address`() {
    let endpoint = Endpoint(address: "[::1]:80", wireProtocol: .http2)
    let same = ProbeTarget(endpoint, check: HealthCheck(type: "http"), connectTimeout: .seconds(5))
    #expect(same.address == "[::1]:80" && same.overHTTP2)
    let other = ProbeTarget(endpoint, check: HealthCheck(type: "http", port: 81), connectTimeout: .seconds(5))
    #expect(other.address == "[::1]:81" && !other.overHTTP2)
    let connect = ProbeTarget(endpoint, check: nil, connectTimeout: .seconds(5))
    #expect(connect.question == .connect && connect.timeout == .seconds(5))
  }
}

@Suite struct SlotPlanTests {
  private func plan(_ slots: [String], _ instances: [(String, InstanceStatus)]) -> [NodeStep] {
    var random = SeededGenerator(seed: 3)
    return NodePlanner.plan(
      NodeObservation(
        now: .seconds(1), desiredCount: slots.count, slots: slots, hosts: [.init(host: .ready)],
        instances: instances.map {
          .init(id: InstanceID(using: &random), epoch: 0, status: $0.1, slot: $0.0)
        }))
  }

  private func drains(_ steps: [NodeStep]) -> Int {
    steps.count {
      if case .drainAndStop = $0 { true } else { false }
    }
  }

  @Test func `each place gets an instance, and none twice`() {
    #expect(plan(["a", "b"], []) == [.fill(slot: "a", epoch: 0), .fill(slot: "b", epoch: 0)])
    #expect(plan(["a", "b"], [("a", .unhealthy)]) == [.fill(slot: "b", epoch: 0)])
    #expect(plan(["a"], [("a", .unhealthy)]).isEmpty)
  }

  @Test func `former places stay until the new ones are judged and one of them is healthy`() {
    #expect(drains(plan(["b"], [("a", .healthy)])) == 0)
    #expect(drains(plan(["b"], [("a", .healthy), ("b", .preparing)])) == 0)
    #expect(drains(plan(["b"], [("a", .healthy), ("b", .unhealthy)])) == 0)
    #expect(drains(plan(["b"], [("a", .healthy), ("b", .healthy)])) == 1)
    #expect(drains(plan(["b", "c"], [("a", .healthy), ("b", .healthy), ("c", .unhealthy)])) == 1)
  }

  @Test func `a former place out of rotation leaves at once`() {
    #expect(drains(plan(["b"], [("a", .unhealthy), ("b", .preparing)])) == 1)
  }
}
