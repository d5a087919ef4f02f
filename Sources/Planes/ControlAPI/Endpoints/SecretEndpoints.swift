import Access
import ControlPlane
import Domain
import HTTPModel
import Storage
import Wire

/// Secrets. No answer, log line or audit record has a value.
enum SecretEndpoints {
  static func list(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    try call.allowQuery("folder", "page_size", "page_token")
    var folder: FolderID?
    if let name = call.query["folder"] {
      folder = try await FolderEndpoints.find(name, field: "folder", api).id
    }
    let page = try await api.store.secrets(
      folder: folder, after: call.query["page_token"], limit: try Paging.size(call))
    return try Paging.answer(page, visible: { call.sees($0.folderID) }, item: { SecretResource($0) })
  }

  static func get(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    try call.allowQuery()
    let record = try await find(call, .view, api)
    var resource = SecretResource(record)
    resource.usedBy = try await api.secrets.nodes(using: record)
    return try Answer.json(resource)
  }

  static func create(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    let request = try call.body(CreateSecretRequest.self)
    let folder = try await FolderEndpoints.find(request.folder ?? "default", field: "folder", api)
    try call.require(.develop, on: folder.id)
    guard let value = try value(request.value, request.valueBase64) else {
      throw .invalid("value", "value: missing; give value (text) or valueBase64 (any bytes)")
    }
    let record = try await api.secrets.create(request, value: value, folder: folder.id, by: call.subject)
    try await Audit.record("CreateSecret", record.id.text, call, api)
    return try Answer.json(SecretResource(record), status: 201)
  }

  static func update(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    try call.allowQuery("update_mask")
    let record = try await find(call, .develop, api)
    let request = try call.body(UpdateSecretRequest.self)
    let fields = try UpdateMask.fields(call, known: ["description", "value"])
    let given = try value(request.value, request.valueBase64)
    guard fields.contains("value") == (given != nil) else {
      throw .invalid(
        "value",
        given == nil
          ? "value: missing; give value (text) or valueBase64 (any bytes)"
          : "value: is not in update_mask; add it there, or leave it out")
    }
    let changed = try await api.secrets.update(
      record, description: fields.contains("description") ? request.description ?? "" : nil, value: given)
    try await Audit.record("UpdateSecret", record.id.text, call, api)
    return try Answer.json(SecretResource(changed))
  }

  static func delete(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    let record = try await find(call, .develop, api)
    try await api.secrets.delete(record)
    try await Audit.record("DeleteSecret", record.id.text, call, api)
    return Answer.empty()
  }

  /// A new master key; it's that of all folders.
  static func rotateKey(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    guard call.bindings.contains(where: { $0.role == .admin }) else {
      throw PlatformError(
        .permissionDenied, "a new master key needs the role 'admin' on some folder", origin: .caller)
    }
    let report = try await api.secrets.rotateKey()
    try await Audit.record("RotateSecretKey", "master-key-\(report.masterKey)", call, api)
    return try Answer.json(report)
  }

  // MARK: Parts

  /// A secret by id, or by name among the folders where the caller has a role.
  private static func find(_ call: Call, _ permission: Permission, _ api: APIWorld)
    async throws(PlatformError) -> SecretRecord
  {
    let text = call.segments[0]
    let found = try await api.store.secrets(called: text).filter { call.sees($0.folderID) }
    guard let record = found.first else {
      throw PlatformError(
        .notFound, "secret: no secret '\(text)'; list them with: roost secret list", origin: .caller,
        field: "secret")
    }
    guard found.count == 1 || record.id.text == text else {
      throw PlatformError(
        .failedPrecondition,
        "secret: \(found.count) folders have a secret '\(text)'; give its id, as roost secret list -o json shows it",
        origin: .caller, field: "secret")
    }
    try call.require(permission, on: record.folderID)
    return record
  }

  private static func value(_ text: String?, _ base64: String?) throws(PlatformError) -> [UInt8]? {
    guard let base64 else { return text.map { Array($0.utf8) } }
    guard text == nil else {
      throw .invalid("valueBase64", "valueBase64: value is given too; give one of them")
    }
    guard let bytes = Base64.decoded(base64.utf8) else {
      throw .invalid("valueBase64", "valueBase64: is not base64 (RFC 4648, section 4, with padding)")
    }
    return bytes
  }
}

extension SecretResource {
  init(_ record: SecretRecord) {
    self.init(
      id: record.id, folderId: record.folderID, name: record.name, description: record.description,
      version: record.version, createdAt: record.createdAt, createdBy: record.createdBy,
      updatedAt: record.updatedAt)
  }
}
