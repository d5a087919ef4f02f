import Domain
import DriverAPI
import Planning
import Storage

/// Restart of the service: the instances of the last run are found again.
extension NodeReconciler {
  /// Finds the instances of the last run again; those that don't answer are dropped. Runs before `run`.
  func recoverInstances(_ records: [InstanceRecord]) async {
    isRecovering = true
    defer { isRecovering = false }
    await recoverReleases(records)
    switch intent.spec.kind {
    case .address: return await recoverAddresses(records)
    case .image: return await recoverImages(records)
    case .cell, .model: break
    }
    everHealthy = records.contains { $0.startedAt != nil }
    for record in records {
      guard let memo = record.handleJSON.flatMap({ try? StoredJSON.value(InstanceMemo.self, from: $0) })
      else {
        await drop(record.id)
        continue
      }
      instances[record.id] = LiveInstance(
        id: record.id, release: record.release, epoch: memo.epoch, status: .preparing, handle: memo.handle,
        createdAt: record.createdAt, madeAt: .nanoseconds(instances.count), startedAt: record.startedAt)
    }
    await withDiscardingTaskGroup { group in
      for instance in instances.values { group.addTask { await self.recover(instance) } }
    }
  }

  /// Puts an instance of the last run into rotation once it has answered.
  private func recover(_ instance: LiveInstance) async {
    guard let handle = instance.handle else { return }
    var answers = await driver.recover(handle)
    // One that runs a request of the process before this one would not answer in time.
    if answers, !world.healthyBefore.contains(instance.id) {
      answers = await driver.probe(handle, timeout: .seconds(2))
    }
    guard answers else {
      await driver.stop(handle, grace: .zero)
      return await drop(instance.id)
    }
    do throws(DriverFailure) {
      // One that the service left between its fork and its first answer.
      if instance.startedAt == nil { try await driver.begin(handle) }
      let now = world.now()
      guard advance(instance.id, to: .healthy, { $0.startedAt = $0.startedAt ?? now }) else { return }
      everHealthy = true
      if instance.startedAt == nil { await persist(instance.id) }
      await routesChanged(id)
    } catch { await discard(instance.id, because: error.error) }
  }

  /// What the process before this one found of an instance holds: its next probe is one of many.
  func trust(_ instance: InstanceID) {
    guard world.healthyBefore.contains(instance), let live = instances[instance] else { return }
    let policy = ProbePolicy(
      spec(of: instance).healthCheck,
      connectTimeout: .seconds(spec(of: instance).endpoint?.connectTimeoutSeconds ?? 5))
    instances[instance]?.probes = ProbeMachine(policy, isHealthy: true)
    instances[instance]?.healthySince = live.startedAt
    instances[instance]?.outSince = nil
    everHealthy = true
  }
}
