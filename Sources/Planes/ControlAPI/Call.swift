import Access
import Domain
import HTTPModel
import Wire

/// One request to the management API, after its target was parsed and its caller known.
struct Call {
  var request: HTTPRequest
  /// Captured path segments, in order.
  var segments: [String]
  var query: [String: String]
  var principal: Principal
  /// Roles of the caller.
  var bindings: [RoleBinding]
  /// A write on behalf of this call is recorded under this subject.
  var subject: String { principal.subject }

  /// Decodes the body strictly: an unknown, missing or mistyped field is an error that names it.
  func body<Value: Decodable>(_ type: Value.Type) throws(PlatformError) -> Value {
    try StrictBody.decode(type, from: request.body)
  }

  /// Throws `permissionDenied` unless a role of the caller allows it on the folder.
  func require(_ permission: Permission, on folder: FolderID) throws(PlatformError) {
    try RoleBinding.require(permission, subject: subject, folder: folder, in: bindings)
  }

  /// True when the caller has any role on the folder: it is then shown in listings.
  func sees(_ folder: FolderID) -> Bool { bindings.contains { $0.folderID == folder } }

  /// A whole number of the query within bounds.
  func number(_ name: String, default value: Int, in range: ClosedRange<Int>) throws(PlatformError) -> Int {
    guard let text = query[name] else { return value }
    guard let number = Int(text), range.contains(number) else {
      throw .invalid(
        name, "\(name): '\(text)' must be a whole number from \(range.lowerBound) to \(range.upperBound)")
    }
    return number
  }

  /// Refuses query parameters that the endpoint doesn't know.
  func allowQuery(_ names: String...) throws(PlatformError) {
    for name in query.keys.sorted() where !names.contains(name) {
      let known = names.isEmpty ? "none" : names.joined(separator: ", ")
      throw .invalid(name, "\(name): unknown query parameter; this call takes: \(known)")
    }
  }
}
