import Access
import ControlPlane
import Domain
import Storage
import Telemetry

/// What must be done from time to time: the operator's token, rotation of logs, garbage.
struct Housekeeping {
  let data: DataFolder
  let store: Store
  let blobs: BlobStore
  let logs: NodeLogs
  let authority: TokenAuthority
  let subject: String
  let fleet: Fleet
  let checkpoints: CheckpointService
  let logger: Logger

  /// A token lives 12 h at most: the file gets a new one well before.
  func refreshAdminToken() async throws(PlatformError) {
    let now = AssembledService.now()
    let issued = try authority.issue(subject: subject, ttl: TokenAuthority.maximumTTL, at: now)
    try await store.addToken(
      TokenRecord(
        id: issued.principal.tokenID, subject: subject, createdAt: now, expiresAt: issued.principal.expiresAt,
        revokedAt: nil, description: "admin.token"))
    try PrivateFile.write(issued.token + "\n", to: data.path + "/admin.token")
  }

  func run() async {
    await withDiscardingTaskGroup { group in
      group.addTask { await rotateLogs() }
      group.addTask { await sweepAgain() }
    }
  }

  /// A cell can print a hundred thousand lines a second.
  private func rotateLogs() async {
    while !Task.isCancelled {
      logs.rotate()
      try? await Task.sleep(for: .seconds(1))
    }
  }

  private func sweepAgain() async {
    do throws(PlatformError) { try await sweepLogs() } catch {
      logger.error("housekeeping failed", ["error": .text(error.message)])
    }
    var round = 0
    while !Task.isCancelled {
      try? await Task.sleep(for: .seconds(30))
      if Task.isCancelled { return }
      round += 1
      do throws(PlatformError) { try await sweep(round) } catch {
        logger.error("housekeeping failed", ["error": .text(error.message)])
      }
    }
  }

  private func sweep(_ round: Int) async throws(PlatformError) {
    try await sweepLogs()
    if round % 20 == 0 {
      let freed = try await checkpoints.collectGarbage()
      if freed > 0 { logger.info("garbage collected", ["bytes": .integer(Int(freed))]) }
      _ = try await store.forgetTokens(expiredBefore: AssembledService.now() + .seconds(-86400))
      _ = try await store.trimOperations(keeping: 1000)
    }
    // Every 6 hours.
    if round % 720 == 0 { try await refreshAdminToken() }
  }

  private func sweepLogs() async throws(PlatformError) {
    // First the folders: a node that is made meanwhile has none among them.
    let logged = logs.nodes()
    let deleted = logged.subtracting(try await store.allNodes().map(\.id))
    let removed = logs.retain(deleted: deleted, at: AssembledService.now())
    if removed > 0 { logger.info("logs of deleted nodes removed", ["nodes": .integer(removed)]) }
  }
}

/// Follows a node's log for one long poll.
struct LogFollower {
  let logs: NodeLogs

  func page(_ node: NodeID, after cursor: String?, tail: Int, wait: Int) async throws(PlatformError)
    -> LogPage
  {
    let deadline = ContinuousClock.now + .seconds(wait)
    while true {
      let page = try logs.read(node, after: cursor, tail: tail)
      guard page.lines.isEmpty, cursor != nil, ContinuousClock.now < deadline, !Task.isCancelled else {
        return page
      }
      try? await Task.sleep(for: .milliseconds(200))
    }
  }
}
