import Access
import ControlPlane
import Domain
import HTTPModel
import Storage

/// Long-running requests of users.
enum OperationEndpoints {
  static func list(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    try call.allowQuery("resource", "page_size", "page_token")
    let page = try await api.store.operations(
      resource: call.query["resource"], after: call.query["page_token"], limit: try Paging.size(call))
    var items: [OperationResource] = []
    for record in page.items where try await isVisible(record, call, api) {
      items.append(try await resource(record, call, api))
    }
    return try Answer.json(ListResource(items: items, nextPageToken: page.next))
  }

  static func get(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    try call.allowQuery()
    return try Answer.json(try await find(call.segments[0], call, api))
  }

  static func cancel(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    try call.allowQuery()
    return try Answer.json(try await cancelled(call.segments[0], call, api))
  }

  /// Cancels an operation, which needs the role that the change itself needs; one that has ended is told as it is.
  static func cancelled(_ text: String, _ call: Call, _ api: APIWorld) async throws(PlatformError)
    -> OperationResource
  {
    let seen = try await record(text, call, api)
    if !seen.done, let id = NodeID(seen.resourceID), let node = try await api.store.node(id) {
      try call.require(.develop, on: node.folderID)
      let ended = try await api.nodes.cancel(seen.id, by: call.subject)
      try await Audit.record("CancelOperation", seen.id.text, call, api)
      return try await resource(ended, call, api)
    }
    if !seen.done, seen.kind == AliasReplays.kind, let ended = try await cancelReplay(seen, call, api) {
      return try await resource(ended, call, api)
    }
    if !seen.done, let id = EnvironmentID(seen.resourceID), let environments = api.environments,
      let record = try await api.store.environment(id)
    {
      try call.require(.develop, on: record.folderID)
      let ended = try await environments.cancel(seen.id, of: id, by: call.subject)
      try await Audit.record("CancelOperation", seen.id.text, call, api)
      return try await resource(ended, call, api)
    }
    return try await resource(seen, call, api)
  }

  private static func cancelReplay(
    _ seen: OperationRecord, _ call: Call, _ api: APIWorld
  ) async throws(PlatformError) -> OperationRecord? {
    guard let alias = try await api.store.allAliases().first(where: { $0.id.text == seen.resourceID }) else {
      return nil
    }
    try call.require(.develop, on: alias.folderID)
    try await Audit.record("CancelOperation", seen.id.text, call, api)
    return try await api.replays.cancel(seen.id)
  }

  /// An operation by its id.
  static func find(_ text: String, _ call: Call, _ api: APIWorld) async throws(PlatformError)
    -> OperationResource
  {
    try await resource(try await record(text, call, api), call, api)
  }

  private static func record(_ text: String, _ call: Call, _ api: APIWorld) async throws(PlatformError)
    -> OperationRecord
  {
    guard let id = OperationID(text), let record = try await api.store.operation(id),
      try await isVisible(record, call, api)
    else {
      throw PlatformError(.notFound, "operation: no operation '\(text)'", origin: .caller)
    }
    return record
  }

  /// Operations are seen by who made them and by who has a role on the folder, as its nodes are.
  private static func isVisible(
    _ record: OperationRecord, _ call: Call, _ api: APIWorld
  ) async throws(PlatformError) -> Bool {
    if record.createdBy == call.subject { return true }
    if let folder = record.folderID { return call.sees(folder) }
    if AliasID(record.resourceID) != nil {
      let alias = try await api.store.allAliases().first { $0.id.text == record.resourceID }
      return alias.map { call.sees($0.folderID) } ?? false
    }
    guard let id = NodeID(record.resourceID), let node = try await api.store.node(id) else { return false }
    return call.sees(node.folderID)
  }

  /// The answer to a change: the operation that follows it.
  static func started(_ record: OperationRecord, _ call: Call, _ api: APIWorld) async throws(PlatformError)
    -> HTTPResponse
  {
    try Answer.json(try await resource(record, call, api), status: 202)
  }

  static func resource(
    _ record: OperationRecord, _ call: Call, _ api: APIWorld
  ) async throws(PlatformError) -> OperationResource {
    var resource = OperationResource(
      id: record.id, description: record.description, createdAt: record.createdAt,
      createdBy: record.createdBy,
      modifiedAt: record.modifiedAt, done: record.done, resourceId: record.resourceID)
    resource.warnings = record.warnings
    if let replacement = record.replacement {
      resource.replacement = replacement
      resource.progress = record.done ? nil : await api.replacer.progress(of: record.id)
      if let text = record.errorJSON {
        resource.error = try StoredJSON.value(StatusResource.self, from: text)
      } else if record.done, let found = try await api.store.node(replacement.successorId) {
        resource.response = try await NodeEndpoints.resource(found, api, full: false)
      }
      return resource
    }
    if let environment = EnvironmentID(record.resourceID) {
      resource.progress = record.done ? nil : await api.environments?.progress(of: environment)
      resource.error = try record.errorJSON.map { (text) throws(PlatformError) in
        try StoredJSON.value(StatusResource.self, from: text)
      }
      return resource
    }
    if AliasID(record.resourceID) != nil {
      resource.progress = record.done ? nil : await api.replays.progress(of: record.id)
      resource.error = try record.errorJSON.map { (text) throws(PlatformError) in
        try StoredJSON.value(StatusResource.self, from: text)
      }
      return resource
    }
    guard let node = NodeID(record.resourceID) else { return resource }
    if !record.done {
      resource.progress = await api.fleet.progress(of: node)
    } else if let text = record.errorJSON {
      resource.error = try StoredJSON.value(StatusResource.self, from: text)
    } else if let found = try await api.store.node(node) {
      resource.response = try await NodeEndpoints.resource(found, api, full: false)
    }
    return resource
  }
}
