import Access
import Contract
import ControlPlane
import Domain
import HTTPModel
import Storage
import Wire

/// The generated API of a cell node: documents that its clients are made of.
enum ContractEndpoints {
  static func openAPI(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    try call.allowQuery()
    let host = call.request.header("host") ?? "localhost"
    let (contract, folder) = try await contract(call, api)
    let document = contract.openAPI(
      server: "\(call.request.isTLS ? "https" : "http")://\(host)", folder: folder)
    return json(document)
  }

  static func proto(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    try call.allowQuery()
    return Answer.text(try await contract(call, api).contract.proto.text)
  }

  private static func json(_ value: JSONValue) -> HTTPResponse {
    HTTPResponse(status: 200, headers: [("content-type", "application/json")], body: value.bytes)
  }

  private static func contract(_ call: Call, _ api: APIWorld) async throws(PlatformError)
    -> (contract: NodeContract, folder: String)
  {
    let record = try await NodeEndpoints.find(call, .view, api)
    let intent = try StoredJSON.value(NodeIntent.self, from: record.specJSON)
    guard let cell = intent.spec.cell else {
      throw PlatformError(
        .failedPrecondition,
        "node: '\(record.name)' is made of addresses; what its API is, only its servers know",
        origin: .caller,
        field: "node")
    }
    // While another contract is rolled out, callers are served by the former one.
    let routed = await api.fleet.routed(record.id)
    let contract = NodeContract(
      nodeID: record.id.text, nodeName: record.name, release: routed?.release ?? record.release,
      inputs: routed?.inputs ?? cell.inputs, outputs: routed?.outputs ?? cell.outputs,
      example: intent.example.map { Array($0.utf8) })
    let folder = intent.spec.acl.contains(record.folderID) ? record.folderID : intent.spec.acl.first
    return (contract, folder?.text ?? record.folderID.text)
  }
}
