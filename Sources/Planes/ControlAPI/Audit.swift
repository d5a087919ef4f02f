import Access
import ControlPlane
import Domain
import HTTPModel
import Storage

/// The audit log, under the event names that compatible tools know.
enum Audit {
  static func record(_ event: String, _ resource: String, _ call: Call, _ api: APIWorld)
    async throws(PlatformError)
  {
    try await record(event, resource, by: call.subject, call.request, api)
  }

  static func record(
    _ event: String, _ resource: String, by subject: String, _ request: HTTPRequest, _ api: APIWorld
  ) async throws(PlatformError) {
    try await api.store.addAudit(
      AuditRecord(
        id: Identifier<RequestKind>.random().text, at: api.world.now(), subject: subject,
        eventType: "yandex.cloud.audit.datasphere.\(event)",
        resourceID: resource, detailsJSON: "{}", requestID: request.requestID))
  }
}
