import Access
import Domain
import HTTPModel

/// The process that serves.
enum ServerEndpoints {
  static func get(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    try call.allowQuery()
    // A process is of no folder.
    guard call.bindings.contains(where: { $0.role == .admin }) else {
      throw PlatformError(
        .permissionDenied, "to see the process that serves needs the role 'admin' on some folder",
        origin: .caller)
    }
    return try Answer.json(api.server())
  }
}
