import Access
import ControlPlane
import Domain
import Sandboxing
import Storage
import Synchronization
import Telemetry

/// What must be done from time to time: the operator's token, rotation of logs, garbage.
final class Housekeeping: Sendable {
  let data: DataFolder
  let store: Store
  let logs: NodeLogs
  let authority: TokenAuthority
  let subject: String
  let time: TimeSource
  let checkpoints: CheckpointService
  let logger: Logger
  /// The operator's token and its life, by the wall clock.
  private let admin = Mutex<(id: String, life: ClosedRange<Timestamp>)?>(nil)

  init(
    data: DataFolder, store: Store, logs: NodeLogs, authority: TokenAuthority, subject: String,
    time: TimeSource, checkpoints: CheckpointService, logger: Logger
  ) {
    self.data = data
    self.store = store
    self.logs = logs
    self.authority = authority
    self.subject = subject
    self.time = time
    self.checkpoints = checkpoints
    self.logger = logger
  }

  /// A token lives 12 h at most: the file gets a new one well before.
  func refreshAdminToken() async throws(PlatformError) {
    let now = time.wall()
    let issued = try authority.issue(subject: subject, ttl: TokenAuthority.maximumTTL, at: now)
    try await store.addToken(
      TokenRecord(
        id: issued.principal.tokenID, subject: subject, createdAt: now, expiresAt: issued.principal.expiresAt,
        revokedAt: nil, description: "admin.token"))
    try PrivateFile.write(issued.token + "\n", to: data.path + "/admin.token")
    admin.withLock { $0 = (issued.principal.tokenID, now...issued.principal.expiresAt) }
  }

  /// Also when it was revoked, the clock was set, or the machine slept: the operator must not be locked out.
  private func keepAdminToken() async throws(PlatformError) {
    let now = time.wall()
    guard let (id, life) = admin.withLock({ $0 }), life.contains(now),
      life.upperBound - now > .seconds(6 * 3600), try await store.token(id)?.revokedAt == nil
    else { return try await refreshAdminToken() }
  }

  func run() async {
    await withDiscardingTaskGroup { group in
      group.addTask { await self.everySecond() }
      group.addTask { await self.sweepAgain() }
    }
  }

  /// A cell can print a hundred thousand lines a second.
  private func everySecond() async {
    while !Task.isCancelled {
      logs.rotate()
      do throws(PlatformError) { try await keepAdminToken() } catch {
        logger.error("admin.token not written", ["error": .text(error.message)])
      }
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
      _ = try await store.forgetTokens(expiredBefore: time.cautious() + .seconds(-86400))
      _ = try await store.trimOperations(keeping: 1000)
    }
  }

  private func sweepLogs() async throws(PlatformError) {
    // First the folders: a node that is made meanwhile has none among them.
    let logged = logs.nodes()
    let gone = try await store.deletedNodes()
    let nodes = try await store.allNodes()
    let now = time.cautious()
    let removed = logs.retain(deleted: logged.subtracting(nodes.map(\.id)), at: now)
    if removed > 0 { logger.info("logs of deleted nodes removed", ["nodes": .integer(removed)]) }
    var folders = Dictionary(nodes.map { ($0.id, $0.folderID) }) { first, _ in first }
    for node in gone { folders[node.id] = node.folderID }
    let files = logs.retain(folders: folders, at: now)
    if files > 0 { logger.info("old logs removed", ["files": .integer(files)]) }
    let kept = logs.nodes()
    let forgotten = gone.map(\.id).filter { !kept.contains($0) }
    if !forgotten.isEmpty { try await store.forgetDeletedNodes(forgotten) }
  }
}

/// Follows a node's log for one long poll.
struct LogFollower {
  let logs: NodeLogs

  func page(_ node: NodeID, _ query: LogQuery, wait: Int) async throws(PlatformError) -> LogPage {
    let deadline = ContinuousClock.now + .seconds(wait)
    var query = query
    while true {
      let page = try await read(node, query)
      guard page.lines.isEmpty, query.after != nil, ContinuousClock.now < deadline, !Task.isCancelled else {
        return page
      }
      // What was looked at in vain is not looked at again.
      query.after = page.cursor
      try? await Task.sleep(for: .milliseconds(200))
    }
  }

  /// A search may take seconds: not on the threads that all tasks share.
  private func read(_ node: NodeID, _ query: LogQuery) async throws(PlatformError) -> LogPage {
    guard query.filter != nil || query.since != nil || query.until != nil else {
      return try logs.read(node, query)
    }
    return try await offload { () throws(PlatformError) in try logs.read(node, query) }
  }
}
