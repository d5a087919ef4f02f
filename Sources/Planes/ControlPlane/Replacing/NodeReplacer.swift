public import Domain
public import Storage

/// Lets nodes take the place of others in aliases. Each step is kept with the operation before it is acted on, so that the next
/// start of the service goes on where this one ended.
public actor NodeReplacer {
  let world: NodeWorld
  let fleet: Fleet
  let nodes: NodeService
  let aliases: AliasService
  let ramps: RampRunner
  let replays: AliasReplays
  private let asked: AsyncStream<OperationID>
  private let asking: AsyncStream<OperationID>.Continuation
  /// What is waited for, for people.
  private var progress: [OperationID: String] = [:]

  public init(
    world: NodeWorld, fleet: Fleet, nodes: NodeService, aliases: AliasService, ramps: RampRunner,
    replays: AliasReplays
  ) {
    self.world = world
    self.fleet = fleet
    self.nodes = nodes
    self.aliases = aliases
    self.ramps = ramps
    self.replays = replays
    (asked, asking) = AsyncStream.makeStream()
  }

  public func progress(of operation: OperationID) -> String? { progress[operation] }

  /// Does what is asked for, and goes on with what an earlier run of the service had begun. Until cancelled.
  public func run() async {
    do throws(PlatformError) {
      for operation in try await world.store.pendingOperations() where operation.kind == ReplaceMemo.kind {
        asking.yield(operation.id)
      }
    } catch { world.log(.error, "replacements not resumed", ["error": error.message]) }
    await withDiscardingTaskGroup { group in
      for await id in asked { group.addTask { await self.replace(id) } }
      group.cancelAll()
    }
  }

  /// Begins a replacement that `plan` allows.
  public func begin(
    _ node: NodeRecord, _ request: ReplaceNodeRequest, by subject: String
  ) async throws(PlatformError) -> OperationRecord {
    let (plan, successor) = try await plan(node, request)
    let now = world.now()
    var memo = OperationMemo(generation: node.generation, folder: node.folderID)
    memo.replace = ReplaceMemo(
      successor: successor.id, phase: .waiting, shares: plan.aliases, holdSeconds: request.holdSeconds,
      replay: request.replay, ramp: request.ramp,
      healthyBy: now + .seconds(request.healthySeconds ?? 600), drainSeconds: request.drainSeconds ?? 300,
      afterwards: request.afterwards ?? .suspend, allowBreaking: request.allowBreaking ?? false)
    let operation = OperationRecord(
      id: .random(), kind: ReplaceMemo.kind, description: "Replace node \(node.name) by \(successor.name)",
      createdAt: now, createdBy: subject, modifiedAt: now, resourceID: node.id.text,
      metadataJSON: try StoredJSON.text(memo))
    try await world.store.atomically { store throws(PlatformError) in
      for other in try store.pendingOperations() where other.kind == ReplaceMemo.kind {
        let nodes = [other.resourceID, other.replacement?.successorId.text]
        guard !nodes.contains(node.id.text), !nodes.contains(successor.id.text) else {
          throw PlatformError(
            .failedPrecondition,
            "operation \(other.id) is under way (\(other.description)): wait for it, or cancel it with: roost operation cancel \(other.id)",
            origin: .caller)
        }
      }
      try store.createOperation(operation)
    }
    asking.yield(operation.id)
    return operation
  }

  // MARK: Steps

  /// Thrown where somebody else ended the operation.
  private static let ended = PlatformError(.cancelled, "the operation has ended")

  private func replace(_ id: OperationID) async {
    var held: [AliasID] = []
    var ramped: ReplaceMemo?
    do throws(PlatformError) {
      guard let operation = try await world.store.operation(id), !operation.done,
        let node = NodeID(operation.resourceID)
      else { return }
      var memo = try StoredJSON.value(OperationMemo.self, from: operation.metadataJSON)
      guard var step = memo.replace else { return }
      held = step.phase == .holding ? step.shares.map(\.aliasId) : []
      while step.phase != .done {
        switch step.phase {
        case .waiting:
          try await waitForHealth(id, step)
          if step.replay == true {
            step.phase = .replaying
            try await keep(id, &memo, step)
          } else {
            try await beginMove(operation, node, &memo, &step, &held)
          }
        case .replaying:
          try await replay(operation, &memo, &step)
          try await beginMove(operation, node, &memo, &step, &held)
        case .ramping:
          ramped = step
          try await ramp(operation, &memo, &step, &ramped)
          try await move(operation, node, &memo, &step)
          ramped = nil
        case .holding:
          try await swap(operation, node, &memo, &step)
          await release(held)
          held = []
        case .draining:
          step.leftRequests = try await drain(id, node, until: step.drainedBy ?? world.now())
          step.phase = step.afterwards == .keep ? .done : .removing
          try await keep(id, &memo, step)
        case .removing:
          try await remove(operation, node, step)
          step.phase = .done
          try await keep(id, &memo, step)
        case .done: break
        }
      }
      try await end(id, nil)
    } catch {
      // The end of the service is no failure: the next one goes on. A hold ends by itself should none come.
      if Task.isCancelled { return }
      // Whoever reads that it ended finds requests that go on.
      await release(held)
      if let ramped { await abortRamps(of: ramped, id) }
      do throws(PlatformError) { try await end(id, error) } catch {
        world.log(.error, "a replacement was not ended", ["operation": id.text, "error": error.message])
      }
    }
    progress[id] = nil
  }

  /// From the last wait that changes nothing to the first step that moves requests.
  private func beginMove(
    _ operation: OperationRecord, _ node: NodeID, _ memo: inout OperationMemo, _ step: inout ReplaceMemo,
    _ held: inout [AliasID]
  ) async throws(PlatformError) {
    if step.ramp != nil {
      step.phase = .ramping
      try await keep(operation.id, &memo, step)
    } else if let seconds = step.holdSeconds {
      held = step.shares.map(\.aliasId)
      step.phase = .holding
      step.heldUntil = world.now() + .seconds(seconds)
      try await keep(operation.id, &memo, step)
    } else {
      try await move(operation, node, &memo, &step)
    }
  }

  private func release(_ held: [AliasID]) async {
    for alias in held {
      do throws(PlatformError) {
        _ = try await aliases.release(try await world.store.alias(named: alias.text))
      } catch { world.log(.warn, "a hold was not released", ["alias": alias.text, "error": error.message]) }
    }
  }

  private func waitForHealth(_ id: OperationID, _ step: ReplaceMemo) async throws(PlatformError) {
    while true {
      guard let successor = try await world.store.node(step.successor), successor.deletedAt == nil else {
        throw PlatformError(
          .failedPrecondition, "the successor was deleted meanwhile; nothing was changed", origin: .caller)
      }
      let seen = await fleet.snapshot(of: successor.id)
      if seen?.status.status == .healthy, await fleet.refusal(of: successor.id) == nil { return }
      let state = seen?.status.status.rawValue ?? "CREATED"
      guard world.now() < step.healthyBy else {
        let why = seen?.status.lastError.map { ": \($0.message)" } ?? ""
        throw PlatformError(
          .deadlineExceeded,
          "successor: node '\(successor.name)' is \(state) and did not become healthy in time\(why). Nothing was changed; see: roost node describe \(successor.name)",
          origin: .node)
      }
      try await pause(id, "waits for node \(successor.name), which is \(state)")
    }
  }

  /// Holds the aliases, waits until nothing is under way at the former node, moves its shares.
  private func swap(
    _ operation: OperationRecord, _ node: NodeID, _ memo: inout OperationMemo, _ step: inout ReplaceMemo
  ) async throws(PlatformError) {
    let until = step.heldUntil ?? world.now()
    let left = (until - world.now()).components.seconds
    for share in step.shares where left > 0 {
      let alias = try await world.store.alias(named: share.aliasId.text)
      guard try await aliases.hold(of: alias.id) == nil else { continue }
      try await aliases.hold(
        alias, HoldAliasRequest(durationSeconds: Int(left), reason: operation.description),
        by: operation.createdBy)
    }
    let rest = try await drain(operation.id, node, until: until)
    guard rest == 0 else {
      throw PlatformError(
        .deadlineExceeded,
        "holdSeconds: \(rest) requests were still under way at the node when the hold ended. Nothing was changed; hold longer, or replace without a hold",
        origin: .node, field: "holdSeconds")
    }
    try await move(operation, node, &memo, &step)
  }

  /// All shares move in one transaction, and come into use with one routing table.
  private func move(
    _ operation: OperationRecord, _ node: NodeID, _ memo: inout OperationMemo, _ step: inout ReplaceMemo
  ) async throws(PlatformError) {
    var next = step
    next.phase = .draining
    next.movedAt = world.now()
    next.drainedBy = world.now() + .seconds(step.drainSeconds)
    memo.replace = next
    let (text, aliases, now) = (try StoredJSON.text(memo), self.aliases, world.now())
    let (id, wanted) = (operation.id, step)
    for share in wanted.shares {
      try await AliasGate.check(share.aliasId, gives: node, to: wanted.successor, world, fleet)
    }
    let moved = try await world.store.atomically { store throws(PlatformError) in
      let nodes = try store.allNodes()
      var changed: [AliasID] = []
      for share in wanted.shares {
        guard let alias = try? store.alias(named: share.aliasId.text) else { continue }
        let replaced = try aliases.replaced(
          alias, node, by: wanted.successor, allowBreaking: wanted.allowBreaking, nodes)
        guard let replaced else { continue }
        if let ramp = try store.ramp(of: alias.id), ramp.status.isUnderWay {
          throw AliasService.underWay(alias, ramp)
        }
        try store.updateAlias(replaced.record)
        changed.append(alias.id)
      }
      guard try store.noteOperation(id, metadataJSON: text, at: now) else {
        // Thrown, so that the shares don't move either.
        throw PlatformError(.cancelled, "cancelled")
      }
      return changed
    }
    step = next
    await fleet.aliasesChanged()
    for alias in moved { await audit("UpdateAlias", alias.text, operation) }
  }

  /// Waits until nothing is under way at the node; what still is when time is up.
  private func drain(_ id: OperationID, _ node: NodeID, until: Timestamp) async throws(PlatformError) -> Int {
    var calm = 0
    while true {
      let load = await fleet.sink.load(of: node)
      let left = (load?.running ?? 0) + (load?.queued ?? 0)
      // A loop may have looked at the former table a moment ago: only what stays empty is.
      calm = left == 0 ? calm + 1 : 0
      if calm >= 3 { return 0 }
      guard world.now() < until || calm > 0 else { return left }
      try await pause(id, "\(left) requests are under way at the former node")
    }
  }

  /// Suspends or deletes the former node, and waits until that is done.
  private func remove(_ operation: OperationRecord, _ node: NodeID, _ step: ReplaceMemo)
    async throws(PlatformError)
  {
    while true {
      guard let record = try await world.store.node(node) else { return }
      if step.afterwards == .delete {
        if record.deletedAt == nil {
          try await aliases.release(record)
          let isDone = try await unlessChanged { () async throws(PlatformError) in
            try await self.nodes.delete(record, by: operation.createdBy)
          }
          if isDone { await audit("DeleteNode", node.text, operation) }
        }
      } else {
        guard record.deletedAt == nil else { return }
        if !record.suspended {
          let isDone = try await unlessChanged { () async throws(PlatformError) in
            try await self.nodes.suspend(record, by: operation.createdBy)
          }
          if isDone { await audit("SuspendNode", node.text, operation) }
        } else if await fleet.snapshot(of: node)?.status.status == .suspended {
          return
        }
      }
      try await pause(operation.id, "the instances of node \(record.name) end")
    }
  }

  /// False where somebody else changed the node meanwhile: it is looked at again.
  private func unlessChanged(
    _ change: () async throws(PlatformError) -> OperationRecord
  ) async throws(PlatformError) -> Bool {
    do throws(PlatformError) { _ = try await change() } catch {
      guard error.code == .aborted else { throw error }
      return false
    }
    return true
  }

  // MARK: Parts

  func pause(_ id: OperationID, _ text: String) async throws(PlatformError) {
    progress[id] = text
    guard try await world.store.operation(id)?.done == false else { throw Self.ended }
    do { try await Task.sleep(for: .milliseconds(100)) } catch { throw Self.ended }
  }

  func keep(_ id: OperationID, _ memo: inout OperationMemo, _ step: ReplaceMemo)
    async throws(PlatformError)
  {
    memo.replace = step
    let text = try StoredJSON.text(memo)
    guard try await world.store.noteOperation(id, metadataJSON: text, at: world.now()) else {
      throw Self.ended
    }
  }

  private func end(_ id: OperationID, _ error: PlatformError?) async throws(PlatformError) {
    guard var operation = try await world.store.operation(id), !operation.done else { return }
    operation.done = true
    operation.modifiedAt = max(world.now(), operation.createdAt)
    if let error {
      operation.errorJSON = try StoredJSON.text(
        StatusResource(code: error.code.rpcCode, message: error.message))
    }
    try await world.store.endOperation(operation)
  }

  private func audit(_ event: String, _ resource: String, _ operation: OperationRecord) async {
    do throws(PlatformError) {
      try await world.store.addAudit(
        AuditRecord(
          id: Identifier<RequestKind>.random().text, at: world.now(), subject: operation.createdBy,
          eventType: "yandex.cloud.audit.datasphere.\(event)", resourceID: resource, detailsJSON: "{}",
          requestID: operation.id.text))
    } catch { world.log(.error, "not audited", ["event": event, "error": error.message]) }
  }
}
