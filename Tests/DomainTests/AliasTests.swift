import Domain
import Planning
import TestSupport
import Testing

@Suite struct AliasTests {
  private func share(_ weights: [Int], _ nodes: [NodeID]) -> [AliasShare] {
    zip(nodes, weights).map { AliasShare(nodeId: $0, weight: $1) }
  }

  /// Weights that sum to 100, with zeros among them.
  private func weights(_ count: Int, _ random: inout SplitMix) -> [Int] {
    var cuts = (0..<(count - 1)).map { _ in Int.random(in: 0...100, using: &random) }.sorted()
    cuts = [0] + cuts + [100]
    return (0..<count).map { cuts[$0 + 1] - cuts[$0] }
  }

  struct SplitMix: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
      state &+= 0x9e37_79b9_7f4a_7c15
      var mixed = state
      mixed = (mixed ^ mixed >> 30) &* 0xbf58_476d_1ce4_e5b9
      mixed = (mixed ^ mixed >> 27) &* 0x94d0_49bb_1331_11eb
      return mixed ^ mixed >> 31
    }
  }

  @Test(arguments: 0..<200) func `a change of weights moves no more slots than it must`(seed: Int) {
    var random = SplitMix(state: UInt64(seed))
    let all = (0..<6).map { _ in NodeID(using: &random) }
    var former: [NodeID] = []
    var before: [AliasShare] = []
    for _ in 0..<10 {
      let count = Int.random(in: 1...6, using: &random)
      let shares = share(weights(count, &random), all.shuffled(using: &random))
      let slots = AliasSlots.assign(shares, after: former)
      #expect(slots.count == AliasSlots.count)
      for (index, share) in shares.enumerated() {
        #expect(slots.count { $0 == index } == share.weight)
      }
      let now = slots.map { shares[$0].nodeId }
      if !former.isEmpty {
        let moved = zip(former, now).count { $0 != $1 }
        let lost = before.reduce(0) { sum, old in
          sum + max(0, old.weight - (shares.first { $0.nodeId == old.nodeId }?.weight ?? 0))
        }
        #expect(moved == lost)
      }
      (former, before) = (now, shares)
    }
  }

  private func refusal(_ spec: AliasSpec) -> PlatformError? {
    do throws(PlatformError) {
      try AliasValidation.check(spec) { _ in "it" }
      return nil
    } catch { return error }
  }

  @Test func `what can't be is refused with its field`() {
    let (one, two) = (NodeID.random(), NodeID.random())
    func spec(_ weights: [(NodeID, Int)], _ edit: (inout AliasSpec) -> Void = { _ in }) -> AliasSpec {
      var spec = AliasSpec(shares: weights.map { AliasShare(nodeId: $0.0, weight: $0.1) }, acl: [])
      edit(&spec)
      return spec
    }
    #expect(refusal(spec([(one, 100)])) == nil)
    #expect(refusal(spec([(one, 0), (two, 100)])) == nil)
    #expect(refusal(spec([]))?.field == "shares")
    #expect(refusal(spec([(one, 99)]))?.message == "shares: the weights sum to 99, not to 100: it 99")
    #expect(refusal(spec([(one, 101)]))?.field == "shares[0].weight")
    #expect(refusal(spec([(one, 50), (one, 50)]))?.field == "shares[1].node")
    let cases: [(String, (inout AliasSpec) -> Void)] = [
      ("sticky.name", { $0.sticky = AliasStickiness(by: .header) }),
      ("sticky.name", { $0.sticky = AliasStickiness(by: .cookie, name: "a b") }),
      ("sticky.name", { $0.sticky = AliasStickiness(by: .caller, name: "x") }),
      ("rules[0]", { $0.rules = [AliasRule(nodeId: one)] }),
      ("rules[0].header", { $0.rules = [AliasRule(nodeId: one, header: "a:b")] }),
      ("rules[0].value", { $0.rules = [AliasRule(nodeId: one, value: "v", pathPrefix: "/")] }),
      ("rules[0].pathPrefix", { $0.rules = [AliasRule(nodeId: one, pathPrefix: "v2")] }),
      ("rules", { $0.rules = Array(repeating: AliasRule(nodeId: one, caller: "c"), count: 51) }),
      ("metadata", { $0.metadata = ["": "v"] }),
      ("metadata", { $0.metadata = ["k": String(repeating: "v", count: 300)] }),
    ]
    for (field, edit) in cases { #expect(refusal(spec([(one, 100)], edit))?.field == field) }
  }
}
