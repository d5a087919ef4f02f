internal import Access
internal import Domain
internal import Reactor

extension GatewayLoop {
  /// Counts a request of a known caller against the node's rates; throws when it is one too many.
  func limitRate(_ verdict: VerdictCache.Verdict, _ node: LoopNode) throws(Refusal) {
    if let limit = node.entry.routed.rateLimit, let wait = node.shared.rates.take(limit, loop.now) {
      throw Refusal(
        .resourceExhausted,
        "node \(node.shared.id) takes \(limit.requestsPerSecond) requests per second",
        origin: .caller, retryAfter: wait)
    }
    if let limit = node.entry.routed.callerRateLimit,
      let wait = node.shared.rates.take(limit, loop.now, caller: verdict.principal.subject)
    {
      throw Refusal(
        .resourceExhausted,
        "node \(node.shared.id) takes \(limit.requestsPerSecond) requests per second of one caller, and \(verdict.principal.subject) sends more",
        origin: .caller, retryAfter: wait)
    }
  }
}
