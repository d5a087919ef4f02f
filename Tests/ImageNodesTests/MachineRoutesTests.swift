import Domain
import Testing

@testable import ImageNodes

@Suite struct MachineRoutesTests {
  private let routes = MachineRoutes(
    table: """
      Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
      eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0
      br-1\t000DD50A\t00000000\t0001\t0\t0\t0\t80FFFFFF\t0\t0\t0
      tun0\t0000D50A\t00000000\t0001\t0\t0\t0\t00C0FFFF\t0\t0\t0
      broken
      """)

  private func ranges(_ texts: String...) -> [SubnetRange] { texts.compactMap { SubnetRange($0) } }

  @Test func `routes are read as the kernel writes them`() {
    #expect(
      routes.routes.map { "\($0.interface) \($0.range)" } == [
        "eth0 0.0.0.0/0", "br-1 10.213.13.0/25", "tun0 10.213.0.0/18",
      ])
    #expect(MachineRoutes(table: "").routes.isEmpty)
  }

  @Test func `a range that another interface has is left out, one in a wider route comes last`() {
    let found = routes.usable(
      ranges("10.213.13.0/25", "10.213.13.128/25", "10.213.200.0/25", "10.213.64.0/25"))
    #expect(found == ranges("10.213.200.0/25", "10.213.64.0/25", "10.213.13.128/25"))
  }

  @Test func `a narrower route within a range takes traffic from it`() {
    let wide = ranges("10.213.13.0/24")[0]
    #expect(routes.conflicts(with: wide).map(\.interface) == ["br-1"])
    #expect(routes.conflicts(with: ranges("10.214.0.0/24")[0]).isEmpty)
  }
}
