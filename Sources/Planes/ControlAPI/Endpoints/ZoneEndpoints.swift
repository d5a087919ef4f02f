import Access
import ControlPlane
import Domain
import HTTPModel
import Storage

/// Zones: where instances of image nodes are put. They are what the server was started with.
enum ZoneEndpoints {
  static func list(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    try call.allowQuery("page_size", "page_token")
    let (page, next) = try Paging.page(await api.zones.zones { call.sees($0) }, call, key: \.name)
    return try Answer.json(ListResource(items: page, nextPageToken: next))
  }

  static func get(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    try call.allowQuery()
    let name = call.segments[0]
    guard let zone = await api.zones.zones({ call.sees($0) }).first(where: { $0.name == name }) else {
      throw PlatformError(
        .notFound, "zone: no zone '\(name)'; list them with: roost zone list", origin: .caller,
        field: "zone")
    }
    return try Answer.json(zone)
  }
}

/// Networks that image nodes of a folder share.
enum SubnetEndpoints {
  static func list(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    try call.allowQuery("folder", "page_size", "page_token")
    var records = try await api.store.subnets().filter { call.sees($0.folderID) }
    if let name = call.query["folder"] {
      let folder = try await FolderEndpoints.find(name, field: "folder", api)
      records.removeAll { $0.folderID != folder.id }
    }
    let (page, next) = try Paging.page(records, call, key: \.id.text)
    return try Answer.json(ListResource(items: page.map { SubnetResource($0) }, nextPageToken: next))
  }

  static func create(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    try call.allowQuery()
    let request = try call.body(CreateSubnetRequest.self)
    let folder = try await FolderEndpoints.find(request.folder ?? "default", field: "folder", api)
    try call.require(.develop, on: folder.id)
    let record = try await api.zones.create(request, folder: folder.id, by: call.subject)
    try await Audit.record("CreateSubnet", record.id.text, call, api)
    return try Answer.json(SubnetResource(record), status: 201)
  }

  static func get(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    try call.allowQuery("folder")
    let record = try await find(call, .view, api)
    var resource = SubnetResource(record)
    resource.usedBy = try await api.store.nodesUsing(record)
    return try Answer.json(resource)
  }

  static func delete(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    try call.allowQuery("folder")
    let record = try await find(call, .develop, api)
    try await api.zones.delete(record)
    try await Audit.record("DeleteSubnet", record.id.text, call, api)
    return Answer.empty()
  }

  /// By id, or by name in the folder of the query, else in those that the caller sees.
  private static func find(_ call: Call, _ permission: Permission, _ api: APIWorld)
    async throws(PlatformError) -> SubnetRecord
  {
    let text = call.segments[0]
    var folder: FolderID?
    if let name = call.query["folder"] {
      folder = try await FolderEndpoints.find(name, field: "folder", api).id
    }
    let seen = try await api.store.subnets().filter {
      call.sees($0.folderID) && $0.folderID == folder ?? $0.folderID
    }
    let named = seen.filter { $0.name == text }
    guard let found = seen.first(where: { $0.id.text == text }) ?? named.first else {
      throw PlatformError(
        .notFound, "subnet: no subnet '\(text)'; list them with: roost subnet list", origin: .caller,
        field: "subnet")
    }
    guard named.count <= 1 else {
      throw .invalid(
        "folder", "folder: several folders have a subnet '\(text)'; name one, or give the id")
    }
    try call.require(permission, on: found.folderID)
    return found
  }
}

extension SubnetResource {
  init(_ record: SubnetRecord) {
    self.init(
      id: record.id, name: record.name, folderId: record.folderID, zone: record.zone, cidr: record.cidr,
      internal: record.isInternal, createdAt: record.createdAt, createdBy: record.createdBy)
  }
}
