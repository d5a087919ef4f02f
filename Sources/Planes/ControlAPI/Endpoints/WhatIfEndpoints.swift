import Access
import ControlPlane
import Domain
import HTTPModel
import Storage

/// What a node's policy would have done with recorded requests.
enum WhatIfEndpoints {
  static func post(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    try call.allowQuery()
    let node = try await NodeEndpoints.find(call, .view, api)
    let request = try call.body(WhatIfRequest.self)
    let spec = try StoredJSON.value(NodeIntent.self, from: node.specJSON).spec
    guard spec.kind != .address else {
      throw PlatformError(
        .failedPrecondition, "node '\(node.name)' is made of addresses: their number is fixed",
        origin: .caller)
    }
    let result = try ScalingWhatIf.run(request, over: spec)
    return try Answer.json(result)
  }
}
