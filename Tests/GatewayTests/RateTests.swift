import Domain
import Gateway
import HTTPModel
import TestSupport
import Testing

/// Limits are slow enough that no test machine earns another token meanwhile.
@Suite(.ownThread, .timeLimit(.minutes(5))) struct RateTests {
  private let slow = RateLimit(requestsPerSecond: 0.001, burst: 2)

  @Test func `a node takes no more requests than its rate, and says when the next one may come`() async throws
  {
    let gateway = try GatewayFixture()
    let peer = try gateway.peer("w") { _ in .output("{}") }
    gateway.publish([peer], rateLimit: slow)
    for _ in 0..<2 { #expect(try await gateway.execute().status == 200) }
    let refused = try await gateway.execute()
    #expect(refused.status == 429)
    #expect((900...1000).contains(Int(refused.header("retry-after") ?? "") ?? 0))
    #expect(refused.text.contains("0.001 requests per second"))
    #expect(peer.executed.count == 2)
    await gateway.stop(peer)
  }

  @Test func `one caller's rate leaves the others alone`() async throws {
    let gateway = try GatewayFixture()
    let peer = try gateway.peer("w") { _ in .output("{}") }
    gateway.publish([peer], callerRateLimit: slow)
    for _ in 0..<2 { #expect(try await gateway.execute().status == 200) }
    let refused = try await gateway.execute()
    #expect(refused.status == 429 && refused.text.contains("alice"))
    #expect(try await gateway.execute(token: "carol:4000000000:tok2").status == 200)
    await gateway.stop(peer)
  }

  @Test func `a limit that is lifted holds nobody back`() async throws {
    let gateway = try GatewayFixture()
    let peer = try gateway.peer("w") { _ in .output("{}") }
    gateway.publish([peer], rateLimit: RateLimit(requestsPerSecond: 0.001, burst: 1))
    #expect(try await gateway.execute().status == 200)
    #expect(try await gateway.execute().status == 429)
    gateway.publish([peer], generation: 2)
    #expect(try await gateway.execute().status == 200)
    await gateway.stop(peer)
  }
}
