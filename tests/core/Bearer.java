import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.security.Key;
import java.security.KeyFactory;
import java.security.spec.PKCS8EncodedKeySpec;
import java.security.spec.X509EncodedKeySpec;
import java.util.Base64;
import javax.crypto.Cipher;

/** Follows the documented recipe. Reads three lines: encrypt or decrypt, a Base64 key, a text. */
public class Bearer {
    public static void main(String[] unused) throws Exception {
        BufferedReader input = new BufferedReader(new InputStreamReader(System.in));
        boolean encrypts = input.readLine().equals("encrypt");
        byte[] encoded = Base64.getDecoder().decode(input.readLine());
        String text = input.readLine();
        KeyFactory factory = KeyFactory.getInstance("RSA");
        Cipher cipher = Cipher.getInstance("RSA");
        if (encrypts) {
            Key key = factory.generatePublic(new X509EncodedKeySpec(encoded));
            cipher.init(Cipher.ENCRYPT_MODE, key);
            byte[] token = cipher.doFinal(text.getBytes("UTF-8"));
            System.out.println(Base64.getEncoder().encodeToString(token));
        } else {
            Key key = factory.generatePrivate(new PKCS8EncodedKeySpec(encoded));
            cipher.init(Cipher.DECRYPT_MODE, key);
            byte[] plain = cipher.doFinal(Base64.getDecoder().decode(text));
            System.out.println(new String(plain, "UTF-8"));
        }
    }
}
