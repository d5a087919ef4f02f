public import Domain
public import DriverAPI
import Sandboxing
import Synchronization

extension CellDriver {
  /// From the groups of the instances, and from the process where there are none.
  public func meters(_ handles: [InstanceHandle]) async -> [InstanceID: InstanceMeter] {
    let known = hosts.withLock { $0 }
    return await offload {
      var result: [InstanceID: InstanceMeter] = [:]
      for handle in handles {
        guard let process = ProcFS.statistics(handle.pid), process.startTicks == handle.startTicks else {
          continue
        }
        let group = known[HostKey(handle.node, handle.release)]?.group(of: handle.instance)
        let figures = group?.figures
        guard let memory = figures?.memoryBytes ?? ProcFS.memory(handle.pid)?.private else { continue }
        result[handle.instance] = InstanceMeter(
          cpuSeconds: figures?.cpuSeconds ?? process.cpuSeconds, memoryBytes: memory,
          memoryLimitBytes: figures?.memoryLimitBytes, processes: figures?.processes,
          periods: figures?.periods, throttledPeriods: figures?.throttledPeriods,
          throttledSeconds: figures?.throttledSeconds)
      }
      return result
    }
  }
}
