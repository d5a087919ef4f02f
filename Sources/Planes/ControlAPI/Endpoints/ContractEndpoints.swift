import Access
import Contract
import ControlPlane
import Domain
import HTTPModel
import Storage
import Wire

/// The generated API of a node of a cell or of saved models: documents that its clients are made of.
enum ContractEndpoints {
  static func openAPI(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    try call.allowQuery()
    let host = call.request.header("host") ?? "localhost"
    let server = "\(call.request.isTLS ? "https" : "http")://\(host)"
    let (contract, folder) = try await contract(call, api)
    return switch contract {
    case .cell(let cell): json(cell.openAPI(server: server, folder: folder))
    case .models(let models): json(models.openAPI(server: server, folder: folder))
    }
  }

  static func proto(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    try call.allowQuery()
    return switch try await contract(call, api).contract {
    case .cell(let cell): Answer.text(cell.proto.text)
    case .models(let models): Answer.text(models.proto.text)
    }
  }

  private static func json(_ value: JSONValue) -> HTTPResponse {
    HTTPResponse(status: 200, headers: [("content-type", "application/json")], body: value.bytes)
  }

  private enum Contract {
    case cell(NodeContract)
    case models(ModelNodeContract)
  }

  private static func contract(_ call: Call, _ api: APIWorld) async throws(PlatformError)
    -> (contract: Contract, folder: String)
  {
    let record = try await NodeEndpoints.find(call, .view, api)
    let intent = try StoredJSON.value(NodeIntent.self, from: record.specJSON)
    let known = intent.spec.acl.contains(record.folderID) ? record.folderID : intent.spec.acl.first
    let folder = known?.text ?? record.folderID.text
    // While another contract is rolled out, callers are served by the former one.
    let routed = await api.fleet.routed(record.id)
    let release = routed?.release ?? record.release
    if let source = intent.spec.model {
      let models = routed?.models ?? source.models.map { RoutedModel($0) }
      return (
        .models(
          ModelNodeContract(
            nodeID: record.id.text, nodeName: record.name, release: release, models: models)), folder
      )
    }
    guard let cell = intent.spec.cell else {
      throw PlatformError(
        .failedPrecondition,
        "node: '\(record.name)' is made of servers; what its API is, only they know",
        origin: .caller,
        field: "node")
    }
    let contract = NodeContract(
      nodeID: record.id.text, nodeName: record.name, release: release,
      inputs: routed?.inputs ?? cell.inputs, outputs: routed?.outputs ?? cell.outputs,
      example: intent.example.map { Array($0.utf8) })
    return (.cell(contract), folder)
  }
}
