import Glibc
import Sandboxing

/// Metrics of the process itself, Prometheus text.
enum ProcessMetrics {
  static func text(version: String) -> String {
    var usage = rusage()
    getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
    func seconds(_ time: timeval) -> Double { Double(time.tv_sec) + Double(time.tv_usec) / 1_000_000 }
    let cpu = seconds(usage.ru_utime) + seconds(usage.ru_stime)
    return """
      # TYPE roost_build_info gauge
      roost_build_info{version="\(version)"} 1
      # TYPE process_cpu_seconds_total counter
      process_cpu_seconds_total \(cpu)
      # TYPE process_resident_memory_bytes gauge
      process_resident_memory_bytes \(residentPages() * Int(sysconf(Int32(_SC_PAGESIZE))))
      # TYPE process_open_fds gauge
      process_open_fds \(openFiles())
      # TYPE process_max_fds gauge
      process_max_fds \(OpenFiles.limit)

      """
  }

  private static func openFiles() -> Int {
    guard let folder = opendir("/proc/self/fd") else { return 0 }
    defer { closedir(folder) }
    // The folder's own entries, and itself.
    var count = -3
    while readdir(folder) != nil { count += 1 }
    return max(0, count)
  }

  private static func residentPages() -> Int {
    let file = open("/proc/self/statm", O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { return 0 }
    defer { close(file) }
    let bytes = [UInt8](unsafeUninitializedCapacity: 128) { buffer, count in
      count = max(0, read(file, buffer.baseAddress, buffer.count))
    }
    let fields = String(decoding: bytes, as: UTF8.self).split(separator: " ")
    return fields.count > 1 ? Int(fields[1]) ?? 0 : 0
  }
}
