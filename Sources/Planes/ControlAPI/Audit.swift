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
    try await api.store.addAudit(
      AuditRecord(
        id: Identifier<RequestKind>.random().text, at: api.world.now(), subject: call.subject,
        eventType: "yandex.cloud.audit.datasphere.\(event)",
        resourceID: resource, detailsJSON: "{}", requestID: call.request.requestID))
  }
}
