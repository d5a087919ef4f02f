import Glibc
import Testing

@testable import Sandboxing

struct ProcFSTests {
  @Test func aNameWithBlanksAndParenthesesDoesNotShiftTheFields() {
    let text = "7 (a) b (c)) S 1 7 7 0 -1 4194560 1 2 3 4 250 50 0 0 20 0 1 0 98765 1 2\n"
    let statistics = ProcFS.parseStatistics(text, ticksPerSecond: 100)
    #expect(statistics == .init(state: "S", parent: 1, startTicks: 98765, cpuSeconds: 3))
  }

  @Test func anEndedProcessHasNoStatistics() {
    #expect(ProcFS.parseStatistics("", ticksPerSecond: 100) == nil)
    #expect(ProcFS.statistics(.max) == nil)
  }

  @Test func ownMemoryAddsUp() throws {
    let memory = try #require(ProcFS.memory(getpid()))
    #expect(memory.private > 0)
    #expect(memory.proportional >= memory.private)
  }

  @Test func sharedAndPrivateAreSumsOfCleanAndDirty() {
    let text = """
      00400000-7fff rollup
      Pss:   100 kB
      Shared_Clean: 10 kB
      Shared_Dirty: 1 kB
      Private_Clean: 20 kB
      Private_Dirty: 2 kB
      """
    #expect(ProcFS.parseMemory(text) == .init(proportional: 102_400, shared: 11264, private: 22528))
  }
}

struct MachineReportTests {
  @Test func everyFindingSaysWhatItMeansAndHowToGetWhatLacks() throws {
    let report = MachineReport.make(dataFolder: "/tmp/no/such/folder", python: "/no/python")
    let names = report.findings.map(\.name)
    for name in [
      "bubblewrap", "user namespaces", "cgroups", "cgroup memory", "python", "memory", "open files",
    ] {
      #expect(names.contains(name))
    }
    for finding in report.findings {
      #expect(!finding.meaning.isEmpty)
      #expect((finding.advice == nil) == (finding.verdict == .ok), "\(finding)")
    }
    #expect(report.findings.first { $0.name == "python" }?.verdict == .missing)
    #expect(report.verdict == .missing)
  }

  @Test func aWorkingInterpreterIsLookedInto() throws {
    let python = try #require(Files.findExecutable("python3"))
    let findings = MachineReport.make(dataFolder: "/tmp", python: python, pythonPath: "/no/package").findings
    #expect(findings.first { $0.name == "python" }?.verdict == .ok)
    let package = try #require(findings.first { $0.name == "roost package" })
    #expect(package.verdict == .missing)
    #expect(package.found == "ModuleNotFoundError: No module named 'roost'")
  }
}
