#!/bin/sh
# Functions end within 80 lines.  A longer one is to be made of two, unless it
# is a switch whose arms are calls: then it is named here.
awk '
	function tell() {
		if (file == "")
			return
		n++
		print (long == "" ? "ok " : "not ok ") n " - " file
		printf "%s", long
		long = ""
	}
	FNR == 1 { tell(); file = FILENAME; from = 0 }
	/^{/ { from = FNR }
	/^}/ && from {
		if (FNR - from - 1 > 80)
			long = long "# line " from ": " FNR - from - 1 \
			    " lines\n"
		from = 0
	}
	END { tell(); print "1.." n }
' $(find lib imap proxyd backendd mupdated -name '*.c')
