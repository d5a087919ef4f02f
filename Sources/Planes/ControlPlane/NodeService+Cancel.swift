public import Domain
public import Storage

/// What is kept with an operation: who may see it, also when its node is gone, and how it can be taken back.
struct OperationMemo: Codable, Equatable {
  /// The generation of the node that the operation made.
  var generation: Int
  /// The folder of the node.
  var folder: FolderID?
  /// What was wished before; nil for the first wish.
  var former: FormerWish?
  /// The release that the operation wished; nil when it left the release as it was.
  var release: Int?
  /// What its maker should know though it was not refused.
  var warnings: [String]?
  /// Of an operation that replaces a node: how far it is.
  var replace: ReplaceMemo?
}

/// The parts of a node that an operation changes.
struct FormerWish: Codable, Equatable {
  var name: String
  var specJSON: String
  var suspended: Bool
  /// nil in operations of older versions of the server.
  var release: Int?

  init(_ node: NodeRecord) {
    release = node.release
    name = node.name
    specJSON = node.specJSON
    suspended = node.suspended
  }
}

extension OperationRecord {
  /// What its maker should know though it was not refused.
  public var warnings: [String]? {
    (try? StoredJSON.value(OperationMemo.self, from: metadataJSON))?.warnings
  }

  /// The folder whose node it is about; nil for operations of older versions of the server.
  public var folderID: FolderID? {
    (try? StoredJSON.value(OperationMemo.self, from: metadataJSON))?.folder
  }
}

extension NodeService {
  private enum Outcome {
    case hadEnded(OperationRecord)
    case cancelled(OperationRecord, NodeRecord)
  }

  /// Takes the wish of an operation back and ends it as cancelled; one that has ended is returned as it is.
  ///
  /// What was done for it already is undone by the node's reconciler, as after any other change: a node whose creation is
  /// cancelled is deleted (by an operation of its own), an update, suspend or resume gives way to what was wished before.
  /// Throws `failedPrecondition` that says why where that can't be.
  public func cancel(_ id: OperationID, by subject: String) async throws(PlatformError) -> OperationRecord {
    let now = world.now()
    let service = self
    let outcome = try await world.store.atomically { store throws(PlatformError) in
      guard let operation = try store.operation(id) else {
        throw PlatformError(.notFound, "operation: no operation '\(id)'", origin: .caller)
      }
      if operation.done { return Outcome.hadEnded(operation) }
      if let replacement = operation.replacement {
        guard replacement.movedAt == nil else {
          throw Self.refusal(
            "the shares have moved already; give them back with: roost node replace \(replacement.successorId) \(replacement.nodeId)"
          )
        }
        var ended = operation
        ended.done = true
        ended.modifiedAt = max(now, operation.createdAt)
        ended.errorJSON = try StoredJSON.text(
          StatusResource(
            code: PlatformError.Code.cancelled.rpcCode,
            message:
              "cancelled by \(subject): \(replacement.phase == .ramping ? "the ramp is aborted" : "no share has moved")"
          ))
        try store.endOperation(ended)
        return .hadEnded(ended)
      }
      guard let nodeID = NodeID(operation.resourceID), let node = try store.node(nodeID) else {
        throw Self.refusal("what it is about is gone; it ends by itself in a moment")
      }
      var (next, outcome) = try Self.withdrawn(operation, of: node)
      next.updatedAt = max(now, node.updatedAt)
      if next.deletedAt != nil {
        next.deletedAt = now
        let deletion = try service.operation(
          "deleteNode", "Delete node \(node.name)", node.id, by: subject,
          memo: OperationMemo(
            generation: node.generation + 1, folder: node.folderID, former: FormerWish(node)))
        try store.createOperation(deletion)
        outcome += " (operation \(deletion.id))"
      }
      let stored = try store.updateNode(next)
      var ended = operation
      ended.done = true
      ended.modifiedAt = max(now, operation.createdAt)
      ended.errorJSON = try StoredJSON.text(
        StatusResource(
          code: PlatformError.Code.cancelled.rpcCode, message: "cancelled by \(subject): \(outcome)"))
      try store.endOperation(ended)
      return .cancelled(ended, stored)
    }
    switch outcome {
    case .hadEnded(let operation): return operation
    case .cancelled(let operation, let node):
      await fleet.changed(node, try StoredJSON.value(NodeIntent.self, from: node.specJSON))
      return operation
    }
  }

  /// The node without the operation's wish, and what becomes of it in words. `deletedAt` is set when it is to go.
  private static func withdrawn(
    _ operation: OperationRecord, of node: NodeRecord
  ) throws(PlatformError) -> (NodeRecord, String) {
    let name = "node '\(node.name)'"
    switch operation.kind {
    case "deleteNode":
      throw refusal("a deletion can't be cancelled: instances of \(name) have ended already; create it anew")
    case "resetNode":
      throw refusal(
        "a reset can't be cancelled: instances of \(name) that it has replaced are gone with their state")
    case _ where node.deletedAt != nil:
      throw refusal("\(name) is being deleted; it ends by itself when that is done")
    default: break
    }
    guard let memo = try? StoredJSON.value(OperationMemo.self, from: operation.metadataJSON) else {
      throw refusal(
        "it was begun by an older version of the server, which did not keep what was wished before; change \(name) instead"
      )
    }
    guard memo.generation == node.generation else {
      throw refusal(
        "\(name) was changed since (generation \(node.generation), this operation made \(memo.generation)); undo it by another change of the node"
      )
    }
    var next = node
    guard let former = memo.former else {
      next.deletedAt = node.updatedAt
      return (next, "\(name) is being deleted")
    }
    next.name = former.name
    next.specJSON = former.specJSON
    next.suspended = former.suspended
    next.release = former.release ?? node.release
    next.checkpointID = try StoredJSON.value(NodeIntent.self, from: former.specJSON).spec.cell?.checkpointId
    if former.suspended != node.suspended {
      return (next, "\(name) is to \(former.suspended ? "stay suspended" : "go on running")")
    }
    return (next, "\(name) is to be as it was before")
  }

  private static func refusal(_ reason: String) -> PlatformError {
    PlatformError(.failedPrecondition, "operation: \(reason)", origin: .caller, field: "operation")
  }
}
