import Glibc

/// A folder with an authority and leaves that the openssl program made; removed with it.
final class Certificates: Sendable {
  let folder: String

  init() {
    var template = Array("/tmp/roost-tls-XXXXXX".utf8CString)
    folder = template.withUnsafeMutableBufferPointer { buffer in
      buffer.baseAddress.flatMap { mkdtemp($0) }.map { String(cString: $0) } ?? ""
    }
    let script = """
      set -e; cd '\(folder)'
      openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=authority 2>/dev/null
      for name in localhost other.example client; do
        openssl req -newkey rsa:2048 -nodes -keyout $name.key -out $name.csr -subj /CN=$name 2>/dev/null
        printf 'subjectAltName=DNS:%s,DNS:*.%s' $name $name > $name.ext
        openssl x509 -req -in $name.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile $name.ext -out $name.pem 2>/dev/null
      done
      openssl x509 -req -in localhost.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days -1 -out expired.pem 2>/dev/null
      """
    precondition(system(script) == 0, "openssl is missing")
  }

  deinit { _ = system("rm -rf '\(folder)'") }

  func path(_ name: String) -> String { "\(folder)/\(name)" }
}
