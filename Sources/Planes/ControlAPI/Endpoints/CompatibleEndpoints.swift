import Domain
import HTTPModel

/// The REST twins of services that compatible clients know: addresses, operations. Errors are `google.rpc.Status`.
enum CompatibleEndpoints {
  private struct Address: Encodable {
    var id: String
    var address: String
  }
  private struct Addresses: Encodable { var endpoints: [Address] }

  /// Nil when the target is something else.
  static func answer(
    _ target: Target, _ request: HTTPRequest, _ responder: APIResponder, _ api: APIWorld
  ) async -> HTTPResponse? {
    do throws(PlatformError) {
      switch (request.method, target.segments.first, target.segments.count, target.verb) {
      case ("GET", "endpoints", 1, nil):
        return try Answer.json(Addresses(endpoints: Endpoints.ids.map { address($0, request) }))
      case ("GET", "endpoints", 2, nil):
        return try Answer.json(address(try Endpoints.known(target.segments[1]), request))
      case ("GET", "operations", 2, nil):
        let call = try await responder.call(request, segments: [])
        return try Answer.json(try await OperationEndpoints.find(target.segments[1], call, api))
      // Compatible clients cancel by GET.
      case ("GET", "operations", 2, "cancel"), ("POST", "operations", 2, "cancel"):
        let call = try await responder.call(request, segments: [])
        return try Answer.json(try await OperationEndpoints.cancelled(target.segments[1], call, api))
      default: return nil
      }
    } catch { return Answer.status(error) }
  }

  private static func address(_ id: String, _ request: HTTPRequest) -> Address {
    Address(id: id, address: Endpoints.address(request))
  }
}
