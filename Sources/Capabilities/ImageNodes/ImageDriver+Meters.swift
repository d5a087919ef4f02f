public import Domain
public import DriverAPI
import Synchronization

extension ImageDriver {
  /// The engine is asked for at most so many containers at once.
  private static let meterWidth = 8

  /// From the engine's counters, one question for each container.
  public func meters(_ handles: [InstanceHandle]) async -> [InstanceID: InstanceMeter] {
    let asked = state.withLock { state in
      state.trouble == nil ? handles.filter { state.containers[$0.instance]?.hasEnded == false } : []
    }
    return await withTaskGroup(of: (InstanceID, InstanceMeter?).self) { group in
      var result: [InstanceID: InstanceMeter] = [:]
      for (index, handle) in asked.enumerated() {
        if index >= Self.meterWidth, let (id, meter) = await group.next() { result[id] = meter }
        group.addTask { (handle.instance, await self.meter(handle)) }
      }
      for await (id, meter) in group { result[id] = meter }
      return result
    }
  }

  private func meter(_ handle: InstanceHandle) async -> InstanceMeter? {
    guard let stats = await stats(of: handle.instance) else { return nil }
    let throttling = stats.cpu_stats?.throttling_data
    let limit = stats.memory_stats?.limit
    return InstanceMeter(
      cpuSeconds: stats.cpuSeconds, memoryBytes: stats.workingSet,
      memoryLimitBytes: limit.flatMap { $0 > 0 && $0 < 1 << 60 ? Int64($0) : nil },
      receivedBytes: stats.networks.map { $0.values.reduce(0) { $0 + ($1.rx_bytes ?? 0) } },
      sentBytes: stats.networks.map { $0.values.reduce(0) { $0 + ($1.tx_bytes ?? 0) } },
      processes: stats.pids_stats?.current, periods: throttling?.periods,
      throttledPeriods: throttling?.throttled_periods,
      throttledSeconds: throttling?.throttled_time.map { Double($0) / 1e9 })
  }
}
